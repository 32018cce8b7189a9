"""Keys of sealed releases are looked at once more where they are used."""

import base64

import pytest

from ringfort.errors import UsageError
from ringfort.policy.contract import Seal
from ringfort.system import SystemRandomness
from ringfort.transfer.seal import Sealer, context_of

SOUND = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CONTEXT = context_of("a", "b", "c")


@pytest.mark.parametrize("key", [bytes(32), bytes([1, *bytes(31)]), b"\xff" * 32, bytes(31)])
@pytest.mark.parametrize("holder", ["recipient", "overseer"])
def test_a_contract_of_before_with_a_key_that_nobody_can_hold_seals_nothing(holder, key):
    keys = {"recipient": SOUND, "overseer": SOUND} | {holder: base64.b64encode(key).decode()}
    with pytest.raises(UsageError, match=f"`seal.{holder}`"):
        Sealer(Seal(**keys), CONTEXT, SystemRandomness())

"""Who runs this process, as the record names them."""

import os
import pwd

import pytest

from ringfort.system import operator_name


@pytest.mark.parametrize("variable", ["LOGNAME", "USER", "LNAME", "USERNAME"])
def test_who_acts_is_the_account_and_not_what_the_environment_says(monkeypatch, variable):
    monkeypatch.setenv(variable, "somebody else")
    assert operator_name() == pwd.getpwuid(os.getuid()).pw_name

import json

import pytest

from ringfort.errors import ConfigurationError
from ringfort.policy.bundle import EVALUATOR, PolicyBundle, default_bundle, load_bundle, write_defaults
from ringfort.policy.source import SourceFile


def test_bytes_and_digest_do_not_depend_on_order_or_place(tmp_path):
    write_defaults(tmp_path)
    read = load_bundle(tmp_path)
    assert read == default_bundle()
    assert read.digest == default_bundle().digest
    assert PolicyBundle(tuple(reversed(read.files))).to_bytes() == read.to_bytes()
    again = PolicyBundle.from_bytes(read.to_bytes())
    assert again == read
    assert again.compile().digest == read.digest


def test_any_change_of_text_changes_the_digest():
    bundle = default_bundle()
    for number, each in enumerate(bundle.files):
        changed = list(bundle.files)
        changed[number] = SourceFile(each.name, each.text + "\n")
        assert PolicyBundle(tuple(changed)).digest != bundle.digest


def test_digest_is_the_one_of_the_format_version_1():
    bundle = PolicyBundle((SourceFile("schema.cedarschema", "x"), SourceFile("a.cedar", "é\n")))
    assert (
        bundle.to_bytes()
        == (
            '{"files":{"a.cedar":"é\\n","schema.cedarschema":"x"},"format":"ringfort-policy-bundle/1"}'
        ).encode()
    )
    assert bundle.digest == "51f58a3903e02591f09eee3d08620932d15811a6d0018e7d56de3f7928bcb935"


def test_the_evaluator_names_its_version():
    assert EVALUATOR.startswith("ringfort-policy/2 cedarpy/4.")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data | {"more": 1},
        lambda data: data | {"format": "ringfort-policy-bundle/2"},
        lambda data: data | {"files": {"../x.cedar": ""}},
        lambda data: data | {"files": {"x.sh": ""}},
        lambda data: data | {"files": {"x.cedar": 1}},
        lambda data: data | {"files": []},
        lambda data: [data],
    ],
)
def test_other_documents_are_refused(change):
    data = json.loads(default_bundle().to_bytes())
    blob = json.dumps(change(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(ConfigurationError):
        PolicyBundle.from_bytes(blob)
    with pytest.raises(ConfigurationError):
        PolicyBundle.from_bytes(default_bundle().to_bytes() + b" ")


def test_write_defaults_leaves_what_is_there(tmp_path):
    (tmp_path / "staff.cedar").write_text("// mine\n")
    write_defaults(tmp_path)
    assert (tmp_path / "staff.cedar").read_text() == "// mine\n"
    assert (tmp_path / "guards.cedar").exists()


@pytest.mark.parametrize(
    "name", ["guards.Cedar", "guards.cedar.bak", "more.cedarschema", "x.json", "a b.cedar"]
)
def test_a_file_that_would_be_ignored_is_refused(tmp_path, name):
    write_defaults(tmp_path)
    (tmp_path / "README.md").write_text("notes are fine")
    (tmp_path / ".swp").write_text("so are hidden files")
    load_bundle(tmp_path)
    (tmp_path / name).write_text("")
    with pytest.raises(ConfigurationError, match="not a policy file") as caught:
        load_bundle(tmp_path)
    assert caught.value.path == tmp_path / name


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no such folder"):
        load_bundle(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="has no `schema"):
        load_bundle(tmp_path)
    write_defaults(tmp_path)
    (tmp_path / "x.cedar").write_bytes(b"// ok\n// \xff\n")
    with pytest.raises(ConfigurationError, match="not UTF-8") as caught:
        load_bundle(tmp_path)
    assert caught.value.line == 2


def test_a_bundle_without_schema_is_refused():
    with pytest.raises(ConfigurationError, match="no `schema"):
        PolicyBundle(()).compile()

from ringfort.policy.source import SourceFile, split_policies

TEXT = """// a comment; with a semicolon
@id("one; or two")  // "an odd quote
permit(principal, action, resource);

@id("b") permit(principal, action, resource) when {
  resource.name == "a\\";" };  forbid(principal, action, resource);
// nothing after
"""


def test_policies_end_at_semicolons_outside_strings_and_comments():
    segments = split_policies(SourceFile("x.cedar", TEXT))
    assert [(each.line, each.text.count(";") > 0) for each in segments] == [(2, True), (5, True), (6, True)]
    assert segments[0].text.startswith('@id("one; or two")')
    assert segments[2].text == "forbid(principal, action, resource);"


def test_an_unfinished_policy_is_one_and_comments_are_none():
    assert len(split_policies(SourceFile("x.cedar", "permit(principal"))) == 1
    assert split_policies(SourceFile("x.cedar", "// permit(principal, action, resource);\n")) == []
    assert split_policies(SourceFile("x.cedar", "")) == []


def test_a_run_of_tokens_is_found_on_its_line():
    segment = split_policies(SourceFile("x.cedar", TEXT))[1]
    assert segment.line_of("resource.name") == 6
    assert segment.line_of("nothing.like") == 5

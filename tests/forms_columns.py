"""What tests of the forms on Arrow columns share: what the database gives for the same values."""

from hypothesis import HealthCheck, Phase, settings
from psycopg import sql

from ringfort.disclosure.forms_sql import FUNCTIONS, SCHEMA
from ringfort.privacy.columns import cast_like_sql, render


def functions(argument):
    return [each.name for each in FUNCTIONS if each.argument == argument]


def by_database(connection, argument, values, names=None):
    """What the database gives: a list of texts for each function of the argument type."""
    names = names or functions(argument)
    calls = sql.SQL(", ").join(
        sql.SQL("array_agg({}(v)::text ORDER BY n)").format(sql.Identifier(SCHEMA, each)) for each in names
    )
    statement = sql.SQL("SELECT {} FROM unnest(%s::{}[]) WITH ORDINALITY AS t(v, n)").format(
        calls, sql.SQL(argument)
    )
    row = connection.execute(statement, (values,)).fetchone()
    return dict(zip(names, [each or [] for each in row], strict=True))


def shown(column):
    return cast_like_sql(column, "text").to_pylist()


def agree(connection, argument, values, column):
    for name, expected in by_database(connection, argument, values).items():
        got = shown(render(name, column))
        assert len(got) == len(values)
        if argument == "text":
            assert [each is None for each in got] == [each is None for each in values], name
        wrong = [
            (value, here, there)
            for value, here, there in zip(values, got, expected, strict=True)
            if here != there
        ]
        assert not wrong, (name, wrong[:3])


def quick(examples):
    """Few large examples; not made smaller if one fails, since it names the value."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )

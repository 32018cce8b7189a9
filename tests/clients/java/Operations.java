import java.io.ByteArrayOutputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.ds.PGSimpleDataSource;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/**
 * What people do with the JDBC driver, through a gateway. Facts are properties on standard input, results go to
 * standard output as lines "operation TAB what went wrong". Run by tests/clients/test_jdbc.py.
 */
public final class Operations {
    private static final String ENDLESS = "SELECT count(*) FROM generate_series(1, 400000000)";
    private static final Properties FACTS = new Properties();
    private static final StringBuilder RESULTS = new StringBuilder();

    private interface Work {
        void run() throws Exception;
    }

    private interface OnConnection {
        void run(Connection connection) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        FACTS.load(System.in);
        operation("connect with a verified certificate", Operations::connects);
        operation("a certificate of somebody else is not accepted", Operations::verifies);
        operation("the documented URL", Operations::documented);
        operation("the purpose decides what is seen", Operations::purpose);
        operation("a wrong password is refused", Operations::wrongPassword);
        operation("every type as text", () -> types(0, "false"));
        operation("every type as binary", () -> types(-1, "true"));
        operation("parameters of every type as text", () -> parameters(0, "false"));
        operation("parameters of every type as binary", () -> parameters(-1, "true"));
        operation("nulls both ways", Operations::nulls);
        operation("a fetch size takes rows in portions", Operations::fetchSize);
        operation("a prepared statement is used again", Operations::prepared);
        operation("the simple protocol", Operations::simple);
        operation("several statements in one text", Operations::several);
        operation("a batch", Operations::batch);
        operation("errors carry SQLSTATE, position and hint", Operations::errors);
        operation("a transaction and its failure", Operations::transaction);
        operation("a read-only connection", Operations::readOnly);
        operation("cancel", Operations::cancel);
        operation("a time limit of the statement", Operations::timeLimit);
        operation("COPY out", Operations::copyOut);
        operation("COPY in is refused", Operations::copyIn);
        operation("columns of a result", Operations::resultMetaData);
        operation("tables and columns of the session's schema", Operations::metaData);
        operation("isValid and the warnings", Operations::valid);
        operation("many connections at once", Operations::many);
        System.out.print(RESULTS);
        System.out.flush();
        Runtime.getRuntime().halt(0); // a thread that a failed operation left must not keep us
    }

    private static void operation(String name, Work work) {
        String wrong = "";
        try {
            work.run();
        } catch (Throwable error) {
            StringWriter text = new StringWriter();
            error.printStackTrace(new PrintWriter(text));
            wrong = text.toString().replace("\n", " | ").replace("\t", " ");
        }
        RESULTS.append(name).append('\t').append(wrong).append('\n');
    }

    // -- connecting ----------------------------------------------------------------------------------

    private static String fact(String name) {
        String value = FACTS.getProperty(name);
        if (value == null) {
            throw new IllegalStateException("no fact " + name);
        }
        return value;
    }

    private static Properties settings(String who, String... more) {
        Properties settings = new Properties();
        settings.setProperty("user", fact(who + ".user"));
        settings.setProperty("password", fact(who + ".password"));
        settings.setProperty("options", "-c ringfort.purpose=" + fact(who + ".purpose"));
        settings.setProperty("sslmode", "verify-full");
        settings.setProperty("sslrootcert", fact("ca_file"));
        settings.setProperty("connectTimeout", "20");
        for (int each = 0; each < more.length; each += 2) {
            settings.setProperty(more[each], more[each + 1]);
        }
        return settings;
    }

    private static String url() {
        return "jdbc:postgresql://" + fact("host") + ":" + fact("port") + "/" + fact("database");
    }

    private static Connection connect(String who, String... more) throws SQLException {
        return DriverManager.getConnection(url(), settings(who, more));
    }

    private static void using(String who, OnConnection work, String... more) throws Exception {
        try (Connection connection = connect(who, more)) {
            work.run(connection);
        }
    }

    // -- what is expected ----------------------------------------------------------------------------

    private static void same(Object wanted, Object got) {
        if (wanted == null ? got != null : !wanted.equals(got)) {
            throw new AssertionError("wanted " + wanted + ", got " + got);
        }
    }

    private static PSQLException refused(String sqlstate, Work work) throws Exception {
        try {
            work.run();
        } catch (PSQLException error) {
            if (!sqlstate.equals(error.getSQLState())) {
                throw error;
            }
            return error;
        }
        throw new AssertionError("it was not refused");
    }

    private static String one(Connection connection, String text) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(text)) {
            rows.next();
            return rows.getString(1);
        }
    }

    private static List<String> column(ResultSet rows) throws SQLException {
        List<String> found = new ArrayList<>();
        while (rows.next()) {
            found.add(rows.getString(1));
        }
        return found;
    }

    private static List<String> shelves() {
        List<String> found = new ArrayList<>();
        for (int each = 0; each < 8; each++) {
            found.add("shelf " + each);
        }
        return found;
    }

    // -- the operations ------------------------------------------------------------------------------

    private static void connects() throws Exception {
        using("support", connection -> {
            same(fact("database"), one(connection, "SELECT current_database()"));
            same("PostgreSQL", connection.getMetaData().getDatabaseProductName());
            same(true, connection.getMetaData().getDatabaseMajorVersion() >= 14);
            same(fact("database"), connection.getCatalog());
        });
    }

    private static void verifies() throws Exception {
        refused("08006", () -> using("support", connection -> { }, "sslrootcert", fact("other_ca_file")));
    }

    private static void documented() throws Exception {
        try (Connection connection =
            DriverManager.getConnection(fact("url"), fact("analyst.user"), fact("analyst.password"))) {
            same("8", one(connection, "SELECT count(*) FROM vault"));
        }
    }

    private static void purpose() throws Exception {
        using("support", connection -> same(fact("h_email"), one(connection, "SELECT h_email FROM vault WHERE id = 1")));
        using("analyst", connection -> {
            refused("42703", () -> one(connection, "SELECT h_email FROM vault"));
            same("8", one(connection, "SELECT count(*) FROM vault"));
        });
    }

    private static void wrongPassword() throws Exception {
        refused("28P01", () -> using("support", connection -> { }, "password", "not this one"));
    }

    private static void types(int threshold, String binary) throws Exception {
        using("support", connection -> {
            try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM vault WHERE id = ?")) {
                statement.unwrap(PGStatement.class).setPrepareThreshold(threshold);
                for (int round = 0; round < 3; round++) {
                    statement.setLong(1, 1);
                    try (ResultSet row = statement.executeQuery()) {
                        same(true, row.next());
                        for (String name : new String[] {"h_text", "h_varchar", "h_email"}) {
                            same(fact(name), row.getString(name));
                        }
                        same(Long.parseLong(fact("h_bigint")), row.getLong("h_bigint"));
                        same(new BigDecimal(fact("h_numeric")), row.getBigDecimal("h_numeric"));
                        same(Double.parseDouble(fact("h_float")), row.getDouble("h_float"));
                        same(LocalDate.parse(fact("h_date")), row.getObject("h_date", LocalDate.class));
                        OffsetDateTime moment = row.getObject("h_moment", OffsetDateTime.class);
                        same(OffsetDateTime.parse(fact("h_moment")).toInstant(), moment.toInstant());
                        same(UUID.fromString(fact("h_uuid")), row.getObject("h_uuid"));
                        same(fact("h_inet"), row.getString("h_inet"));
                        same(fact("h_json"), row.getString("h_json"));
                        same(fact("h_bytes"), hexadecimal(row.getBytes("h_bytes")));
                        same(fact("h_array"), String.join(",", (String[]) row.getArray("h_array").getArray()));
                    }
                }
            }
        }, "binaryTransfer", binary);
    }

    private static String hexadecimal(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte each : bytes) {
            text.append(String.format("%02x", each));
        }
        return text.toString();
    }

    private static void parameters(int threshold, String binary) throws Exception {
        using("support", connection -> {
            String[] names = {"h_text", "h_bigint", "h_numeric", "h_float", "h_date", "h_moment", "h_uuid", "h_bytes",
                "h_array"};
            for (String name : names) {
                String text = "SELECT id FROM vault WHERE " + name + " = ?";
                try (PreparedStatement statement = connection.prepareStatement(text)) {
                    statement.unwrap(PGStatement.class).setPrepareThreshold(threshold);
                    for (int round = 0; round < 3; round++) {
                        set(connection, statement, name);
                        try (ResultSet rows = statement.executeQuery()) {
                            same(List.of("1"), column(rows));
                        }
                    }
                }
            }
            try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int + 1, ?::text, ?, ?::int[]")) {
                statement.setInt(1, 41);
                statement.setString(2, "caf\u00e9 \ud83d\ude00 it's \\");
                statement.setBoolean(3, true);
                statement.setArray(4, connection.createArrayOf("int4", new Integer[] {1, null, 3}));
                try (ResultSet row = statement.executeQuery()) {
                    same(true, row.next());
                    same(42, row.getInt(1));
                    same("caf\u00e9 \ud83d\ude00 it's \\", row.getString(2));
                    same(true, row.getBoolean(3));
                    same(null, ((Integer[]) row.getArray(4).getArray())[1]);
                }
            }
        }, "binaryTransfer", binary);
    }

    private static void set(Connection connection, PreparedStatement statement, String name) throws SQLException {
        String value = fact(name);
        switch (name) {
            case "h_text" -> statement.setString(1, value);
            case "h_bigint" -> statement.setLong(1, Long.parseLong(value));
            case "h_numeric" -> statement.setBigDecimal(1, new BigDecimal(value));
            case "h_float" -> statement.setDouble(1, Double.parseDouble(value));
            case "h_date" -> statement.setObject(1, LocalDate.parse(value));
            case "h_moment" -> statement.setObject(1, OffsetDateTime.parse(value));
            case "h_uuid" -> statement.setObject(1, UUID.fromString(value));
            case "h_bytes" -> {
                byte[] bytes = new byte[value.length() / 2];
                for (int each = 0; each < bytes.length; each++) {
                    bytes[each] = (byte) Integer.parseInt(value.substring(2 * each, 2 * each + 2), 16);
                }
                statement.setBytes(1, bytes);
            }
            case "h_array" -> statement.setArray(1, connection.createArrayOf("text", value.split(",")));
            default -> throw new IllegalArgumentException(name);
        }
    }

    private static void nulls() throws Exception {
        using("analyst", connection -> {
            try (PreparedStatement statement = connection.prepareStatement("SELECT ?::text, ?::int, ?::timestamptz")) {
                statement.setNull(1, Types.VARCHAR);
                statement.setNull(2, Types.INTEGER);
                statement.setNull(3, Types.TIMESTAMP_WITH_TIMEZONE);
                try (ResultSet row = statement.executeQuery()) {
                    same(true, row.next());
                    same(null, row.getString(1));
                    same(0, row.getInt(2));
                    same(true, row.wasNull());
                    same(null, row.getTimestamp(3));
                }
            }
        });
    }

    private static void fetchSize() throws Exception {
        using("analyst", connection -> {
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(500);
                String text = "SELECT g, repeat('x', 100) FROM generate_series(1, 100000) AS g";
                try (ResultSet rows = statement.executeQuery(text)) {
                    int seen = 0;
                    while (rows.next()) {
                        same(++seen, rows.getInt(1));
                    }
                    same(100_000, seen);
                }
                try (ResultSet rows = statement.executeQuery("SELECT g FROM generate_series(1, 5000) AS g")) {
                    same(true, rows.next()); // and no more: the portal is closed half-read
                }
            }
            connection.commit();
            same("1", one(connection, "SELECT 1"));
        });
    }

    private static void prepared() throws Exception {
        using("analyst", connection -> {
            String text = "SELECT label FROM vault WHERE label = ?";
            try (PreparedStatement statement = connection.prepareStatement(text)) {
                PGStatement ours = statement.unwrap(PGStatement.class);
                ours.setPrepareThreshold(2);
                for (int each = 0; each < 24; each++) {
                    statement.setString(1, "shelf " + each % 8);
                    try (ResultSet rows = statement.executeQuery()) {
                        same(List.of("shelf " + each % 8), column(rows));
                    }
                }
                same(true, ours.isUseServerPrepare());
            }
        });
    }

    private static void simple() throws Exception {
        using("analyst", connection -> {
            try (PreparedStatement statement = connection.prepareStatement("SELECT label FROM vault WHERE label = ?")) {
                statement.setString(1, "shelf 3");
                same(List.of("shelf 3"), column(statement.executeQuery()));
            }
        }, "preferQueryMode", "simple");
    }

    private static void several() throws Exception {
        using("analyst", connection -> {
            try (Statement statement = connection.createStatement()) {
                same(true, statement.execute("SELECT 1; SELECT 'b'; SELECT count(*) FROM vault"));
                List<String> found = new ArrayList<>(column(statement.getResultSet()));
                while (statement.getMoreResults()) {
                    found.addAll(column(statement.getResultSet()));
                }
                same(List.of("1", "b", "8"), found);
            }
        });
    }

    private static void batch() throws Exception {
        using("analyst", connection -> {
            try (Statement statement = connection.createStatement()) {
                statement.addBatch("SET statement_timeout = '1min'");
                statement.addBatch("SET TIME ZONE 'Europe/Dublin'");
                same(2, statement.executeBatch().length);
            }
            same("Europe/Dublin", one(connection, "SHOW TIME ZONE"));
        });
    }

    private static void errors() throws Exception {
        using("analyst", connection -> {
            ServerErrorMessage told = refused("42703", () -> one(connection, "SELECT nope FROM vault"))
                .getServerErrorMessage();
            same("column \"nope\" does not exist", told.getMessage());
            same(8, told.getPosition());
            told = refused("42501", () -> one(connection, "SELECT pg_read_file('/etc/passwd')")).getServerErrorMessage();
            same(true, told.getHint().contains("pg_read_file"));
            refused("22012", () -> one(connection, "SELECT 1 / 0"));
            refused("42601", () -> one(connection, "SELEC 1"));
            refused("42501", () -> one(connection, "DELETE FROM vault"));
            refused("42P01", () -> one(connection, "SELECT * FROM uncatalogued"));
            same("1", one(connection, "SELECT 1"));
        });
    }

    private static void transaction() throws Exception {
        using("analyst", connection -> {
            connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            connection.setAutoCommit(false);
            same("repeatable read", one(connection, "SHOW transaction_isolation"));
            refused("42703", () -> one(connection, "SELECT nope"));
            refused("25P02", () -> one(connection, "SELECT 1"));
            connection.rollback();
            same("8", one(connection, "SELECT count(*) FROM vault"));
            var savepoint = connection.setSavepoint();
            refused("22012", () -> one(connection, "SELECT 1 / 0"));
            connection.rollback(savepoint);
            same("1", one(connection, "SELECT 1"));
            connection.commit();
        });
    }

    private static void readOnly() throws Exception {
        using("analyst", connection -> {
            connection.setReadOnly(true);
            same("8", one(connection, "SELECT count(*) FROM vault"));
        });
    }

    private static void cancel() throws Exception {
        using("analyst", connection -> {
            try (Statement statement = connection.createStatement()) {
                CompletableFuture.runAsync(() -> {
                    try {
                        Thread.sleep(400);
                        statement.cancel();
                    } catch (InterruptedException | SQLException error) {
                        throw new IllegalStateException(error);
                    }
                });
                refused("57014", () -> statement.executeQuery(ENDLESS));
            }
            same("1", one(connection, "SELECT 1"));
        });
    }

    private static void timeLimit() throws Exception {
        using("analyst", connection -> {
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                refused("57014", () -> statement.executeQuery(ENDLESS));
            }
            same("1", one(connection, "SELECT 1"));
        });
    }

    private static void copyOut() throws Exception {
        using("analyst", connection -> {
            var copies = connection.unwrap(PGConnection.class).getCopyAPI();
            ByteArrayOutputStream got = new ByteArrayOutputStream();
            same(8L, copies.copyOut("COPY (SELECT label FROM vault ORDER BY label) TO STDOUT (FORMAT csv)", got));
            same(String.join("\n", shelves()) + "\n", got.toString(StandardCharsets.UTF_8));
            got.reset();
            same(20_000L, copies.copyOut("COPY (SELECT repeat('y', 1000) FROM generate_series(1, 20000)) TO STDOUT", got));
            same(1001 * 20_000, got.size());
        });
    }

    private static void copyIn() throws Exception {
        using("analyst", connection -> {
            var copies = connection.unwrap(PGConnection.class).getCopyAPI();
            refused("42501", () -> copies.copyIn("COPY vault FROM STDIN"));
            same("1", one(connection, "SELECT 1"));
        });
    }

    private static void resultMetaData() throws Exception {
        using("analyst", connection -> {
            try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT id, label, 1::numeric(8,2) AS n FROM vault LIMIT 1")) {
                var shown = rows.getMetaData();
                same(3, shown.getColumnCount());
                same("label", shown.getColumnLabel(2));
                same("uuid", shown.getColumnTypeName(1));
                same(Types.NUMERIC, shown.getColumnType(3));
            }
        });
    }

    private static void metaData() throws Exception {
        using("analyst", connection -> {
            var shown = connection.getMetaData();
            String schema = connection.getSchema();
            List<String> tables = new ArrayList<>();
            try (ResultSet rows = shown.getTables(null, schema, "%", new String[] {"TABLE", "VIEW"})) {
                while (rows.next()) {
                    tables.add(rows.getString("TABLE_NAME"));
                }
            }
            same(List.of("messages", "payments", "people", "vault", "videos", "views"), tables);
            List<String> columns = new ArrayList<>();
            try (ResultSet rows = shown.getColumns(null, schema, "vault", "%")) {
                while (rows.next()) {
                    columns.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
                }
            }
            same(List.of("id uuid", "owner_id uuid", "label text"), columns);
            shown.getPrimaryKeys(null, schema, "vault").close();
            shown.getImportedKeys(null, schema, "vault").close();
            shown.getSchemas().close();
            shown.getTypeInfo().close();
            same(true, shown.getSQLKeywords().contains("analyse"));
        });
    }

    private static void valid() throws Exception {
        using("analyst", connection -> {
            same(true, connection.isValid(5));
            same(null, connection.getWarnings());
        });
    }

    private static void many() throws Exception {
        PGSimpleDataSource source = new PGSimpleDataSource();
        source.setUrl(url());
        Properties settings = settings("analyst");
        for (String name : settings.stringPropertyNames()) {
            if (!name.equals("user") && !name.equals("password")) {
                source.setProperty(name, settings.getProperty(name));
            }
        }
        source.setUser(settings.getProperty("user"));
        source.setPassword(settings.getProperty("password"));
        ExecutorService threads = Executors.newFixedThreadPool(4);
        List<Future<String>> asked = new ArrayList<>();
        for (int each = 0; each < 12; each++) {
            int number = each;
            asked.add(threads.submit(() -> {
                try (Connection connection = source.getConnection()) {
                    return one(connection, "SELECT " + number + " + count(*) FROM vault");
                }
            }));
        }
        try {
            for (int each = 0; each < 12; each++) {
                same(String.valueOf(each + 8), asked.get(each).get());
            }
        } catch (ExecutionException error) {
            throw new IllegalStateException(error.getCause());
        } finally {
            threads.shutdownNow();
        }
    }

    private Operations() {
    }
}

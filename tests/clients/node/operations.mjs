// What people do with node-postgres, through a gateway. Facts come as JSON on standard input, results go as
// JSON to standard output: {"operation": "" or what went wrong}. Run by tests/clients/test_node.py.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import pg from 'pg'
import copyStreams from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'

const facts = JSON.parse(readFileSync(0, 'utf8'))
const SHELVES = [0, 1, 2, 3, 4, 5, 6, 7].map((number) => `shelf ${number}`)
const ENDLESS = 'SELECT count(*) FROM generate_series(1, 400000000)'

function settings(who, more = {}) {
  return {
    host: facts.host,
    port: facts.port,
    database: facts.database,
    user: facts[who].user,
    password: facts[who].password,
    options: `-c ringfort.purpose=${facts[who].purpose}`,
    ssl: { ca: facts.ca, rejectUnauthorized: true },
    connectionTimeoutMillis: 20000,
    ...more,
  }
}

async function using(who, work, more) {
  const client = new pg.Client(settings(who, more))
  client.on('error', () => {}) // a cut connection is told by the query that it cuts
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

async function refused(promise, code) {
  const error = await promise.then(
    () => assert.fail('it was not refused'),
    (each) => each,
  )
  assert.equal(error.code, code, `${error.code} ${error.message}`)
  return error
}

const operations = {
  async 'connect with a verified certificate'() {
    await using('support', async (client) => {
      assert.equal(client.connection.stream.authorized, true)
      assert.ok(client.processID > 0)
      const { rows } = await client.query('SELECT current_database() AS name')
      assert.deepEqual(rows, [{ name: facts.database }])
    })
  },

  async 'a certificate of somebody else is not accepted'() {
    await assert.rejects(using('support', async () => {}, { ssl: { rejectUnauthorized: true } }), /certificate/)
  },

  async 'a connection string with sslrootcert and options'() {
    const { user, password, purpose } = facts.support
    const options = encodeURIComponent(`-c ringfort.purpose=${purpose}`)
    const where = `${facts.host}:${facts.port}/${facts.database}`
    const tls = `sslmode=verify-full&sslrootcert=${encodeURIComponent(facts.ca_file)}`
    const client = new pg.Client(
      `postgresql://${user}:${encodeURIComponent(password)}@${where}?${tls}&options=${options}`,
    )
    await client.connect()
    const { rows } = await client.query('SELECT h_text FROM vault WHERE id = 1')
    assert.deepEqual(rows, [{ h_text: facts.row.h_text }])
    await client.end()
  },

  async 'TLS without asking first'() {
    await using(
      'analyst',
      async (client) => assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1),
      { sslNegotiation: 'direct' },
    )
  },

  async 'the purpose decides what is seen'() {
    await using('support', async (client) => {
      assert.equal((await client.query('SELECT h_email FROM vault')).rowCount, 8)
    })
    await using('analyst', async (client) => {
      await refused(client.query('SELECT h_email FROM vault'), '42703')
      const { fields } = await client.query('SELECT * FROM vault')
      assert.deepEqual(fields.map((each) => each.name), ['id', 'owner_id', 'label'])
    })
  },

  async 'a wrong password is refused'() {
    await refused(using('support', async () => {}, { password: 'not this one' }), '28P01')
  },

  async 'every type as text'() {
    await using('support', async (client) => {
      const { rows } = await client.query('SELECT * FROM vault WHERE id = $1', [1])
      const row = rows[0]
      for (const name of ['h_text', 'h_varchar', 'h_email', 'h_bigint', 'h_numeric', 'h_uuid', 'h_inet']) {
        assert.equal(row[name], facts.row[name], name)
      }
      assert.equal(row.h_float, facts.row.h_float)
      assert.deepEqual(row.h_json, facts.row.h_json)
      assert.deepEqual(row.h_array, facts.row.h_array)
      assert.equal(row.h_bytes.toString('hex'), facts.row.h_bytes)
      assert.equal(row.h_moment.getTime(), Math.floor(facts.milliseconds)) // a Date knows no more
      assert.ok(row.h_date instanceof Date)
    })
  },

  async 'results as binary'() {
    await using('support', async (client) => {
      // this driver takes what it gets for UTF-8 text, also in binary: only what is ASCII arrives whole
      const text = 'SELECT h_text, h_bytes, true AS yes, 7::int4 AS seven FROM vault WHERE id = $1'
      const { rows, fields } = await client.query({ text, values: [1], binary: true })
      assert.deepEqual(fields.map((each) => each.format), Array(4).fill('binary'))
      assert.equal(rows[0].h_text, facts.row.h_text)
      assert.equal(rows[0].h_bytes, Buffer.from(facts.row.h_bytes, 'hex').toString())
      assert.deepEqual([rows[0].yes, rows[0].seven], [true, 7])
    })
  },

  async 'parameters of every type'() {
    await using('support', async (client) => {
      for (const [name, type] of Object.entries(facts.types)) {
        const value = facts.row[name]
        const sent = name === 'h_bytes' ? Buffer.from(value, 'hex') : value
        const { rows } = await client.query(`SELECT id FROM vault WHERE ${name} = $1::${type}`, [sent])
        assert.deepEqual(rows, [{ id: '1' }], name)
      }
      const { rows } = await client.query('SELECT $1::int[] AS n, $2::jsonb AS j, $3::text AS t, $4::bool AS b', [
        [1, null, 3],
        { a: [1, { b: 'caf\u00e9' }] },
        '\u{1f600} it\'s \\ "quoted"',
        true,
      ])
      assert.deepEqual(rows[0].n, [1, null, 3])
      assert.deepEqual(rows[0].j, { a: [1, { b: 'caf\u00e9' }] })
      assert.deepEqual([rows[0].t, rows[0].b], ['\u{1f600} it\'s \\ "quoted"', true])
    })
  },

  async 'nulls both ways'() {
    await using('analyst', async (client) => {
      const { rows } = await client.query('SELECT $1::text AS t, $2::int AS n, NULL AS u, count($1) AS c', [null, null])
      assert.deepEqual(rows, [{ t: null, n: null, u: null, c: '0' }])
    })
  },

  async 'a cursor takes rows in portions'() {
    await using('analyst', async (client) => {
      const cursor = client.query(new Cursor('SELECT g FROM generate_series(1, $1::int) AS g', [1000]))
      const sizes = []
      for (let rows = await cursor.read(300); rows.length; rows = await cursor.read(300)) sizes.push(rows.length)
      assert.deepEqual(sizes, [300, 300, 300, 100])
      await cursor.close()
      const early = client.query(new Cursor('SELECT label FROM vault ORDER BY label'))
      assert.equal((await early.read(2)).length, 2)
      await early.close()
      assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
    })
  },

  async 'a big result comes as a stream'() {
    await using('analyst', async (client) => {
      const text = "SELECT g, repeat('x', 100) AS x FROM generate_series(1, 100000) AS g"
      let rows = 0
      for await (const row of client.query(new QueryStream(text, [], { batchSize: 1000 }))) {
        rows += 1
        assert.equal(row.g, rows)
      }
      assert.equal(rows, 100000)
    })
  },

  async 'a named statement is prepared once'() {
    await using('analyst', async (client) => {
      for (const label of [...SHELVES, ...SHELVES]) {
        const { rows } = await client.query({
          name: 'by-label',
          text: 'SELECT label FROM vault WHERE label = $1',
          values: [label],
        })
        assert.deepEqual(rows, [{ label }])
      }
      assert.ok(client.connection.parsedStatements['by-label'])
    })
  },

  async 'several statements in one text'() {
    await using('analyst', async (client) => {
      const results = await client.query("SELECT 1 AS a; SELECT 'b' AS b; SELECT count(*) AS c FROM vault")
      assert.deepEqual(results.map((each) => each.rows[0]), [{ a: 1 }, { b: 'b' }, { c: '8' }])
    })
  },

  async 'errors carry SQLSTATE, position and hint'() {
    await using('analyst', async (client) => {
      let error = await refused(client.query('SELECT nope FROM vault'), '42703')
      assert.equal(error.message, 'column "nope" does not exist')
      assert.equal(error.position, '8')
      error = await refused(client.query("SELECT pg_read_file('/etc/passwd')"), '42501')
      assert.match(error.hint, /pg_read_file/)
      await refused(client.query('SELECT 1 / $1::int', [0]), '22012')
      await refused(client.query('SELEC 1'), '42601')
      await refused(client.query('DELETE FROM vault'), '42501')
      await refused(client.query('SELECT * FROM uncatalogued'), '42P01')
      assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
    })
  },

  async 'a transaction and its failure'() {
    await using('analyst', async (client) => {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      await client.query('SELECT count(*) FROM vault')
      await refused(client.query('SELECT nope'), '42703')
      await refused(client.query('SELECT 1'), '25P02')
      await client.query('ROLLBACK')
      assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
    })
  },

  async 'cancel'() {
    await using('analyst', async (client) => {
      const asked = refused(client.query(ENDLESS), '57014')
      await new Promise((done) => setTimeout(done, 300))
      new pg.Client(settings('analyst')).cancel(client, client.activeQuery)
      await asked
      assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
    })
  },

  async 'a time limit of the statement'() {
    await using(
      'analyst',
      async (client) => {
        await refused(client.query(ENDLESS), '57014')
        assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
      },
      { statement_timeout: 300 },
    )
  },

  async 'COPY out'() {
    await using('analyst', async (client) => {
      const stream = client.query(copyStreams.to('COPY (SELECT label FROM vault ORDER BY label) TO STDOUT (FORMAT csv)'))
      const chunks = []
      await pipeline(stream, new Writable({ write: (chunk, _, done) => (chunks.push(chunk), done()) }))
      assert.equal(Buffer.concat(chunks).toString(), SHELVES.map((each) => `${each}\n`).join(''))
      assert.equal(stream.rowCount, 8)
      let bytes = 0
      const big = "COPY (SELECT repeat('y', 1000) FROM generate_series(1, 20000)) TO STDOUT"
      await pipeline(client.query(copyStreams.to(big)), new Writable({ write: (c, _, d) => ((bytes += c.length), d()) }))
      assert.equal(bytes, 1001 * 20000)
    })
  },

  async 'COPY in is refused'() {
    await using('analyst', async (client) => {
      const stream = client.query(copyStreams.from('COPY vault FROM STDIN'))
      const error = await new Promise((found) => stream.on('error', found))
      assert.equal(error.code, '42501')
      stream.destroy()
      assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
    })
  },

  async 'a pool of connections'() {
    const pool = new pg.Pool({ ...settings('analyst'), max: 3, idleTimeoutMillis: 1000 })
    const asked = Array.from({ length: 30 }, (_, n) => pool.query('SELECT $1::int AS n, count(*) AS c FROM vault', [n]))
    const answers = (await Promise.all(asked)).map((each) => each.rows[0])
    assert.deepEqual(answers, asked.map((_, n) => ({ n, c: '8' })))
    assert.ok(pool.totalCount <= 3)
    await refused(pool.query('SELECT nope'), '42703')
    assert.equal((await pool.query('SELECT 1 AS one')).rows[0].one, 1)
    await pool.end()
  },

  async 'LISTEN is refused'() {
    await using('analyst', async (client) => {
      await refused(client.query('LISTEN news'), '42501')
    })
  },
}

const results = {}
for (const [name, operation] of Object.entries(operations)) {
  try {
    await operation()
    results[name] = ''
  } catch (error) {
    results[name] = error?.stack ?? String(error)
  }
}
process.stdout.write(JSON.stringify(results))
process.exit(0) // a socket that a failed operation left open must not keep us

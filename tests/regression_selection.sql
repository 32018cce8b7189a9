-- Queries in the manner of PostgreSQL's regression tests, one a line (regression_corpus.py)
SELECT * FROM onek WHERE onek.unique1 < 10 ORDER BY onek.unique1
SELECT onek.unique1, onek.stringu1 FROM onek WHERE onek.unique1 > 980 ORDER BY stringu1 using <
select foo from (select 1 offset 0) as foo, int4_tbl
SELECT two, stringu1, ten, string4 FROM onek
SELECT DISTINCT two, string4, ten FROM tenk1 ORDER BY two using <, string4 using <, ten using <
SELECT DISTINCT ON (string4) string4, two, ten FROM onek ORDER BY string4 using <, two using >, ten using <
select distinct on (1) floor(ten) as r, four from tenk1 order by 1, 2
SELECT DISTINCT p.age FROM person* p ORDER BY age using >
SELECT DISTINCT * FROM int8_tbl t ORDER BY t.q2
SELECT DISTINCT * FROM int8_tbl ORDER BY int8_tbl.q1 DESC LIMIT 2
select * from int8_tbl order by q1 fetch first 2 rows with ties
SELECT DISTINCT '5'::xid, ten FROM tenk1
SELECT unique1 FROM onek LIMIT 2 OFFSET 50
SELECT unique1 FROM onek ORDER BY ten OFFSET 20 LIMIT 7
select thousand from onek where thousand < 5 order by four fetch first 2 rows only
SELECT sum(four), string4 FROM tenk1 GROUP BY string4 HAVING count(*) > 1 LIMIT 2
SELECT depname, empno, salary, sum(salary) OVER (PARTITION BY depname) FROM empsalary
SELECT depname, salary, rank() OVER (PARTITION BY depname ORDER BY salary) FROM empsalary
SELECT ntile(3) OVER (ORDER BY ten, four), ten, four FROM tenk1 WHERE unique2 < 10
SELECT lag(ten) OVER (PARTITION BY four ORDER BY ten), ten, four FROM tenk1 WHERE unique2 < 10
SELECT lead(ten * 2, 1, -1) OVER (PARTITION BY four ORDER BY ten), ten FROM tenk1 WHERE unique2 < 10
SELECT first_value(ten) OVER (PARTITION BY four ORDER BY ten), ten, four FROM tenk1 WHERE unique2 < 10
SELECT last_value(ten) OVER (PARTITION BY four), ten, four FROM (SELECT * FROM tenk1 WHERE unique2 < 10 ORDER BY four, ten) s ORDER BY four, ten
SELECT nth_value(ten, four + 1) OVER (PARTITION BY four), ten, four FROM tenk1 WHERE unique2 < 10
SELECT sum(unique1) over (order by four range between current row and unbounded following), four FROM tenk1
SELECT sum(unique1) over (rows between 2 preceding and 2 following exclude current row), four FROM tenk1
SELECT sum(unique1) over (w range between current row and unbounded following), four FROM tenk1 WINDOW w AS (order by four)
SELECT sum(unique1) over (order by four groups between unbounded preceding and current row), four FROM tenk1
SELECT sum(salary) over (order by enroll_date range between '1 year'::interval preceding and '1 year' following exclude ties), salary, enroll_date FROM empsalary
SELECT row_number() OVER (ORDER BY unique2) FROM tenk1 WHERE unique2 < 10
SELECT array_agg(depname) FILTER (WHERE salary > 4000) OVER (PARTITION BY depname) FROM empsalary
select array_agg(ten order by four desc, unique1) from tenk1
select string_agg(distinct string4, ',' order by string4) from onek
select percentile_disc(0.5) within group (order by thousand), mode() within group (order by ten) from tenk1
select ten, mode() within group (order by string4) from tenk1 group by ten
select rank(3) within group (order by ten) from tenk1
select max(q1), min(q2), q1 from int8_tbl group by q1
select four, ten, sum(unique1), grouping(four, ten) from tenk1 group by rollup (four, ten)
select four, x from (select four, ten, 'foo'::text as x from tenk1) t group by grouping sets (four, x)
SELECT f1 FROM int4_tbl UNION ALL SELECT q1 FROM int8_tbl
SELECT q2 FROM int8_tbl EXCEPT SELECT q1 FROM int8_tbl
(SELECT 1, 2, 3 UNION SELECT 4, 5, 6) INTERSECT SELECT 4, 5, f1 FROM int4_tbl
select * from int4_tbl a full join int8_tbl b on a.f1 = b.q1
select * from int8_tbl t1 left join (select q1 as x, 42 as y from int8_tbl t2) ss on t1.q2 = ss.x
select * from (int4_tbl x cross join int8_tbl y) as t (a, b, c) where a > 0
select unique2, x.* from tenk1 a, lateral (select * from int4_tbl b where f1 = a.unique1) x
select x.*, ss.unique1 from int4_tbl x, lateral (select unique1 from tenk1 where four > 1 limit 2) ss
select p.name, age from person p where (age, location::text) in (select age, location::text from emp)
SELECT p.name, p.location, e.manager FROM ONLY person p JOIN emp e ON e.age = p.age
WITH RECURSIVE t(n) AS (SELECT min(f1) FROM int4_tbl WHERE f1 >= 0 UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT * FROM t
with cte as (select unique1, generate_series(1, 2) as g from tenk1 where unique2 < 9) select * from cte limit 5
select generate_series(1, 3), q1 from int8_tbl order by q2 limit 4
select * from rows from (generate_series(1, 3), unnest(array['a', 'b'])) with ordinality as t (a, b, n), int4_tbl
select json_agg(q) from (select q1, q2 from int8_tbl) q
select jsonb_object_agg(four, unique1), json_object_agg(unique2, ten) from tenk1 where unique2 < 20
select (array_agg(unique1))[2:3], row(max(f1), min(f1)) from tenk1, int4_tbl
copy (select name, age from person) to stdout csv
values ((select q1 from int8_tbl limit 1)), ((select min(f1) from int4_tbl))

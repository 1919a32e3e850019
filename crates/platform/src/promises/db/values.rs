//! Values on their way in and out.

use super::World;
use crate::db::lines::Line;
use crate::db::{Inserted, Value};

/// Name, number, bytes, text.
type Kept<'a> = (&'a str, Option<i64>, Option<&'a [u8]>, Option<&'a str>);

pub(super) async fn they_come_back_as_they_went(world: World) {
    let long = "장부 ".repeat(20_000); // beyond the 64 KiB that some engines give a text
    let bytes: Vec<u8> = (0..=63u8).map(|b| b.wrapping_mul(37).wrapping_sub(1)).collect();
    let rows: [Kept<'_>; 5] = [
        ("least", Some(i64::MIN), Some(&[]), Some("")),
        ("greatest", Some(i64::MAX), Some(&bytes), Some(&long)),
        ("nothing", None, None, None),
        ("quoted", Some(0), Some(b"\0'\\\""), Some("it's \\ \"so\"; -- ?")),
        ("above", Some(-1), Some(&[0xff, 0xfe, 0xed]), Some("\u{1F3E6}\u{0}")),
    ];
    let mut tx = world.db.begin("put").await.unwrap();
    for (name, n, bytes, text) in rows {
        let row = [name.into(), n.into(), bytes.into(), text.into()];
        assert_eq!(
            tx.insert("INSERT INTO kept (name, n, bytes, text) VALUES (?*)", &row).await.unwrap(),
            Inserted::New
        );
    }
    tx.commit().await.unwrap();
    let mut tx = world.beside.read("get").await.unwrap();
    for (name, n, bytes, text) in rows {
        let sql = "SELECT n, bytes, text, name FROM kept WHERE name = ?";
        let row = tx.query_one(sql, &[name.into()]).await.unwrap().unwrap();
        assert_eq!((row.opt_int(0), row.opt_bytes(1), row.opt_text(2), row.text(3)), (n, bytes, text, name));
    }
    let found = tx.query_one("SELECT name FROM kept WHERE bytes = ?", &[Value::Bytes(&bytes)]).await.unwrap();
    assert_eq!(found.unwrap().text(0), "greatest", "bytes are found by bytes");
    let small = "SELECT SUM(n), CASE WHEN n IS NULL THEN 0 ELSE 1 END FROM kept WHERE n <= 0 AND n >= ? GROUP BY n";
    let row = tx.query(&format!("{small} ORDER BY n"), &[(-1).into()]).await.unwrap();
    assert_eq!((row[0].int(0), row[0].int(1), row[1].int(0)), (-1, 1, 0), "sums of integers are integers");
    let mut seen = Vec::new();
    let mut see = |line: &Line<'_>| {
        seen.push((line.text(0)?.to_owned(), line.opt_int(1)?));
        Ok(())
    };
    let lines = tx.each("SELECT name, n FROM kept WHERE n IS NOT NULL ORDER BY n", &[], &mut see).await.unwrap();
    assert_eq!(lines, 4);
    assert_eq!((seen[0].0.as_str(), seen[3].1), ("least", Some(i64::MAX)));
    let mut see = |line: &Line<'_>| line.int(0).map(|_| ());
    assert!(tx.each("SELECT name FROM kept", &[], &mut see).await.is_err(), "what is not as expected is damage");
    assert!(tx.query("SELECT 1 FROM kept", &[]).await.is_err(), "and ends the snapshot");
    drop(tx);
    let mut tx = world.db.read("after").await.unwrap();
    assert_eq!(tx.query("SELECT name FROM kept", &[]).await.unwrap().len(), 5, "the next one is as good as new");
}

pub(super) async fn texts_are_told_apart_byte_by_byte(world: World) {
    let names = ["a", "A", "a ", "\u{e4}", "a\u{308}", "b"];
    let mut tx = world.db.begin("put").await.unwrap();
    for name in names {
        let row = [name.into(), Value::Null, Value::Null, Value::Null];
        let put = tx.insert("INSERT INTO kept (name, n, bytes, text) VALUES (?*)", &row).await.unwrap();
        assert_eq!(put, Inserted::New, "{name:?}");
    }
    let rows = tx.query("SELECT name FROM kept ORDER BY name", &[]).await.unwrap();
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(rows.iter().map(|row| row.text(0)).collect::<Vec<_>>(), sorted);
    let found = tx.query("SELECT name FROM kept WHERE name = ?", &["a".into()]).await.unwrap();
    assert_eq!(found.len(), 1);
}

pub(super) async fn many_rows_are_one_call(world: World) {
    let rows = |ids: std::ops::Range<i64>| -> Vec<Value<'static>> {
        ids.flat_map(|id| [Value::Int(id), Value::Int(id * 10)]).collect()
    };
    let sql = "INSERT INTO t (id, v) VALUES (?*)";
    let mut tx = world.db.begin("put").await.unwrap();
    assert_eq!(tx.insert_rows(sql, 2, &[]).await.unwrap(), Inserted::New, "nothing is done at once");
    assert_eq!(tx.insert_rows(sql, 2, &rows(0..3_001)).await.unwrap(), Inserted::New);
    let list: Vec<Value<'_>> = [5.into()].into_iter().chain((0..100).map(|n| Value::Int(n * 31))).collect();
    let found = tx.query("SELECT id FROM t WHERE v > ? AND id IN (?*) ORDER BY id FOR UPDATE", &list).await.unwrap();
    let want: Vec<i64> = (1..100).map(|n| n * 31).filter(|id| *id < 3_001).collect();
    assert_eq!(found.iter().map(|row| row.int(0)).collect::<Vec<_>>(), want);
    let same = tx.execute("UPDATE t SET v = 10 WHERE id <= ?", &[1.into()]).await.unwrap();
    assert_eq!(same, 2, "rows found, changed or not");
    assert_eq!(tx.execute("DELETE FROM t WHERE id IN (?*)", &[7.into(), 9.into(), 7.into()]).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let replaced = async || {
        let mut tx = world.db.begin("replace").await.unwrap();
        let put = tx.insert_rows("REPLACE INTO t (id, v) VALUES (?*)", 2, &rows(0..10)).await.unwrap();
        tx.commit().await.unwrap();
        put
    };
    assert_eq!((replaced().await, replaced().await), (Inserted::New, Inserted::New));
    let mut tx = world.db.begin("again").await.unwrap();
    assert_eq!(tx.insert_rows(sql, 2, &rows(3_000..3_100)).await.unwrap(), Inserted::Duplicate);
    assert!(tx.query("SELECT id FROM t", &[]).await.is_err(), "some of them may stand: only dropping is right");
    drop(tx);
    assert_eq!(super::count(&world.db).await, 3_001);
}

//! Words that a server of the MySQL kind keeps for itself: a table or column so named can be made on SQLite and not there.

/// Reserved by MySQL 8.4 or 9.7, MariaDB 10.11 or TiDB 8.5, by their manuals or their own lists
/// (`information_schema.keywords`), as far as SQLite lets them pass as names. What all of them reserve (`SELECT`, `TABLE`)
/// nobody gets past the embedded engine.
const RESERVED: &str = "ACCESSIBLE ANALYZE ARRAY ASC ASENSITIVE BEFORE BIGINT BINARY BLOB BOTH BY CALL CASCADE CHANGE CHAR CHARACTER COLUMN \
    CONDITION CONTINUE CONVERT CROSS CUBE CUME_DIST CURRENT_DATE CURRENT_ROLE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER \
    CURSOR DATABASE DATABASES DAY_HOUR DAY_MICROSECOND DAY_MINUTE DAY_SECOND DEC DECIMAL DECLARE DELAYED \
    DENSE_RANK DESC DESCRIBE DETERMINISTIC DISTINCTROW DIV DOUBLE DUAL EACH ELSEIF EMPTY ENCLOSED ESCAPED EXCEPT \
    EXIT EXPLAIN EXTERNAL FALSE FETCH FIRST_VALUE FLOAT FLOAT4 FLOAT8 FOR FORCE FULLTEXT FUNCTION GENERATED GET \
    GRANT GROUPING GROUPS HIGH_PRIORITY HOUR_MICROSECOND HOUR_MINUTE HOUR_SECOND IF IGNORE ILIKE INFILE INNER \
    INOUT INSENSITIVE INT INT1 INT2 INT3 INT4 INT8 INTEGER INTERVAL IO_AFTER_GTIDS IO_BEFORE_GTIDS ITERATE \
    JSON_TABLE KEY KEYS KILL LAG LAST_VALUE LATERAL LEAD LEADING LEAVE LEFT LIBRARY LIKE LINEAR LINES LOAD \
    LOCALTIME LOCALTIMESTAMP LOCK LONG LONGBLOB LONGTEXT LOOP LOW_PRIORITY MANUAL MATCH MAXVALUE MEDIUMBLOB \
    MEDIUMINT MEDIUMTEXT MIDDLEINT MINUTE_MICROSECOND MINUTE_SECOND MOD MODIFIES NATURAL NO_WRITE_TO_BINLOG \
    NTH_VALUE NTILE NUMERIC OF OFFSET OPTIMIZE OPTIMIZER_COSTS OPTION OPTIONALLY OUT OUTER OUTFILE OVER PARALLEL \
    PARTITION PERCENT_RANK PRECISION PROCEDURE PURGE QUALIFY RANGE RANK READ READS READ_WRITE REAL RECURSIVE \
    REF_SYSTEM_ID REGEXP RELEASE RENAME REPEAT REPLACE REQUIRE RESIGNAL RESTRICT RETURN REVOKE RIGHT RLIKE ROW \
    ROWS ROW_NUMBER SCHEMA SCHEMAS SECOND_MICROSECOND SENSITIVE SEPARATOR SHOW SIGNAL SLOW SMALLINT SPATIAL \
    SPECIFIC SQL SQLEXCEPTION SQLSTATE SQLWARNING SQL_BIG_RESULT SQL_CALC_FOUND_ROWS SQL_SMALL_RESULT SSL STARTING \
    STATS_AUTO_RECALC STATS_PERSISTENT STATS_SAMPLE_PAGES STORED STRAIGHT_JOIN SYSTEM TABLESAMPLE TERMINATED TIDB TIDB_CURRENT_TSO \
    TIFLASH TINYBLOB TINYINT TINYTEXT TRAILING TRIGGER TRUE UNDO UNLOCK UNSIGNED UNTIL USAGE USE UTC_DATE UTC_TIME \
    UTC_TIMESTAMP VARBINARY VARCHAR VARCHARACTER VARYING VIRTUAL WHILE WINDOW WITH WRITE XOR YEAR_MONTH ZEROFILL";

/// Names that a line of a schema gives, as they are written one per line: of a table, an index or a column.
fn given(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| c.is_whitespace() || c == '(').filter(|word| !word.is_empty());
    let first = words.next()?;
    match first {
        "CREATE" | "ALTER" => words.find(|word| !matches!(*word, "TABLE" | "INDEX" | "UNIQUE")),
        "PRIMARY" | "UNIQUE" | "FOREIGN" | "CHECK" | "DROP" | "INSERT" | "UPDATE" | "DELETE" => None,
        "ADD" | "RENAME" => words.next_back(),
        _ if line.starts_with(char::is_whitespace) => Some(first),
        _ => None,
    }
}

/// The reserved word that a line of a schema takes as a name.
pub fn taken(line: &str) -> Option<&str> {
    given(line).filter(|name| RESERVED.split_whitespace().any(|word| name.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_columns_and_indexes_are_looked_at() {
        for (line, word) in [
            ("    lines VARCHAR(512) NOT NULL", Some("lines")),
            ("CREATE TABLE rank (", Some("rank")),
            ("CREATE INDEX key ON t (a);", Some("key")),
            ("    packed VARCHAR(512) NOT NULL", None),
            ("    PRIMARY KEY (caller, idem_key)", None),
            ("CREATE TABLE journal (", None),
            ("ALTER TABLE owner DROP COLUMN birth_date;", None),
            (");", None),
            ("", None),
        ] {
            assert_eq!(taken(line), word, "{line}");
        }
    }
}

//! The database engine on MySQL and its kin: MariaDB, MySQL, TiDB.

pub mod text;

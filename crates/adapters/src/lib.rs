//! Engines on servers that processes share, behind the platform's own interfaces: MySQL and its kin for databases, Kafka
//! for the log, Redis for what may be lost. Seen only by the binary; services know the platform alone.

pub mod kafka;
pub mod mysql;
pub mod redis;
pub mod stand;

//! deposit

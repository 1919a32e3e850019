//! Defects that are planted on purpose in builds with the feature `defects`: one that the simulation does not find
//! shows what it is blind to.

/// The list, which `cargo xtask tidy` holds against the code and `cargo xtask defects` runs.
const LIST: &str = include_str!("defects.txt");

/// The name of a planted defect as the list has it; none where it is not listed.
#[must_use]
pub fn named(name: &str) -> Option<&'static str> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(" | ").next()).find(|listed| *listed == name)
}

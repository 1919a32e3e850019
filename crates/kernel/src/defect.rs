//! Defects planted on purpose, to see whether the simulation finds them. They exist only in builds with the feature
//! `defects`; everywhere else [`planted`] is `false` and what it guards is not compiled in.

/// Whether the defect of that name is planted in this thread.
#[must_use]
#[inline]
pub fn planted(name: &str) -> bool {
    #[cfg(feature = "defects")]
    return PLANTED.get() == Some(name);
    #[cfg(not(feature = "defects"))]
    {
        let _ = name;
        false
    }
}

#[cfg(feature = "defects")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Plants a defect in this thread, or none.
#[cfg(feature = "defects")]
pub fn plant(name: Option<&'static str>) {
    PLANTED.set(name);
}

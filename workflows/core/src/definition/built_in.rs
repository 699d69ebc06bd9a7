//! The workflows that come with the program.

/// A definition's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name, for diagnostics.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! built_in {
    ($($(#[$doc:meta])* $name:ident = $file:literal,)*) => {
        $($(#[$doc])* pub const $name: BuiltIn =
            BuiltIn { file: $file, text: include_str!(concat!("../../../definitions/", $file)) };)*

        /// All of them.
        pub const ALL: &[BuiltIn] = &[$($name,)*];
    };
}

built_in! {
    /// order → pay → store → deliver.
    ORDER = "order.yaml",
    /// flight, hotel and car → payment → tickets.
    TRIP = "trip.yaml",
    /// withdraw → deposit.
    TRANSFER = "transfer.yaml",
    /// Every feature of the language.
    EVERYTHING = "everything.yaml",
}

/// Those that an orchestrator takes in by itself. The others have no workers that are built_in: a saga of theirs would
/// wait for an answer that nobody gives.
pub const REGISTERED_AT_START: &[BuiltIn] = &[ORDER];

//! The workflows that come with the program.

/// A definition's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// Its name, for mistakes.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// order → pay → store → deliver.
pub const ORDER: Shipped = Shipped { file: "order.yaml", text: include_str!("../../definitions/order.yaml") };

/// All of them.
pub const ALL: &[Shipped] = &[ORDER];

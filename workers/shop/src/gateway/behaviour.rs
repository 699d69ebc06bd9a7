//! The behaviour that a token selects.

/// How often a flaky charge or refund fails before it succeeds.
pub const FLAKY_FAILURES: u32 = 2;

/// The behaviour of a charge or of its refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It succeeds.
    Succeed,
    /// It is rejected for good.
    Decline,
    /// It fails [`FLAKY_FAILURES`] times per key, then succeeds.
    Flaky,
    /// It succeeds, and the answer is late.
    Slow,
    /// It succeeds, and the first answer is lost.
    LoseAnswer,
    /// It fails until the gateway is healed.
    Outage,
}

/// The behaviour of a charge.
pub fn charge_behaviour(token: &str) -> Behaviour {
    match token {
        "tok_declined" => Behaviour::Decline,
        "tok_flaky" => Behaviour::Flaky,
        "tok_slow" => Behaviour::Slow,
        "tok_lost" => Behaviour::LoseAnswer,
        "tok_outage" => Behaviour::Outage,
        _ => Behaviour::Succeed,
    }
}

/// The behaviour of the refund of a charge.
pub fn refund_behaviour(token: &str) -> Behaviour {
    match token {
        "tok_refund_flaky" => Behaviour::Flaky,
        "tok_refund_never" => Behaviour::Outage,
        _ => Behaviour::Succeed,
    }
}

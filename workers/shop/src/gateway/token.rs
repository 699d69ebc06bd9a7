//! What a token makes the gateway do.

/// How often the flaky ones fail before they work.
pub const FLAKY: u32 = 2;

/// How a charge, or its refund, is to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It works.
    Good,
    /// It is refused for good.
    Declined,
    /// It fails that often, under each key, then works.
    Flaky,
    /// It works, and the answer is late.
    Slow,
    /// It works, and the first answer never arrives.
    Lost,
    /// It fails until somebody heals the gateway.
    Outage,
}

/// How a charge with this token behaves.
pub fn charging(token: &str) -> Manner {
    match token {
        "tok_declined" => Manner::Declined,
        "tok_flaky" => Manner::Flaky,
        "tok_slow" => Manner::Slow,
        "tok_lost" => Manner::Lost,
        "tok_outage" => Manner::Outage,
        _ => Manner::Good,
    }
}

/// How the refund of a charge with this token behaves.
pub fn refunding(token: &str) -> Manner {
    match token {
        "tok_refund_flaky" => Manner::Flaky,
        "tok_refund_never" => Manner::Outage,
        _ => Manner::Good,
    }
}

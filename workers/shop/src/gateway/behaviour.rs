//! What a token makes the gateway do.

/// How often the flaky ones fail before they work.
pub const FLAKY: u32 = 2;

/// How a charge, or its refund, is to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
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
pub fn charging(token: &str) -> Behaviour {
    match token {
        "tok_declined" => Behaviour::Declined,
        "tok_flaky" => Behaviour::Flaky,
        "tok_slow" => Behaviour::Slow,
        "tok_lost" => Behaviour::Lost,
        "tok_outage" => Behaviour::Outage,
        _ => Behaviour::Good,
    }
}

/// How the refund of a charge with this token behaves.
pub fn refunding(token: &str) -> Behaviour {
    match token {
        "tok_refund_flaky" => Behaviour::Flaky,
        "tok_refund_never" => Behaviour::Outage,
        _ => Behaviour::Good,
    }
}

//! The gateway's state: what was charged, refunded and voided, by idempotency key. Tests compare the
//! workers' ledgers with it.

use super::behaviour::{Behaviour, FLAKY_FAILURES, charge_behaviour, refund_behaviour};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of keys, about a gigabyte. Beyond it new keys are rejected (507).
pub const MAX_KEYS: usize = 5_000_000;

/// The body of `POST /charges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeRequest {
    /// In the smallest unit of the currency.
    pub amount: i64,
    pub currency: String,
    /// The card.
    pub token: String,
}

/// The body of `POST /refunds`. Only a whole charge can be refunded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// The id of the charge.
    pub charge: String,
    /// In the smallest unit of the currency.
    pub amount: i64,
    pub currency: String,
}

/// The final result of a key: every further call with the key gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    Charged(ChargeRequest),
    Declined(ChargeRequest),
    /// Voided before it was charged: it is never charged.
    Voided,
    /// A charge was refunded under this key.
    Refunded(RefundRequest),
}

/// A charge, or the refund of one, as the gateway answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The id of the charge.
    pub charge: String,
    /// In the smallest unit of the currency.
    pub amount: i64,
    pub currency: String,
}

/// Why a call is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The card was declined (402).
    Declined,
    /// The key was voided (409).
    Voided,
    /// The key was used for another request (422).
    KeyReused,
    /// There is no such charge of that amount (404).
    NoSuchCharge,
    /// The charge was refunded under another key (409).
    AlreadyRefunded,
    /// The gateway is unavailable (503).
    Unavailable,
    /// There are too many keys (507).
    Full,
}

/// The state of the gateway.
#[derive(Debug, Default)]
pub struct Charges {
    entries: BTreeMap<String, Entry>,
    /// The key under which a charge was refunded, by the key of the charge.
    refund_keys: BTreeMap<String, String>,
    /// How often a flaky call has failed, by key.
    failures: BTreeMap<String, u32>,
    /// The keys whose first answer was lost.
    lost_answers: BTreeSet<String>,
    healed: bool,
}

/// The body of `GET /books`: the results by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeReport {
    /// By idempotency key.
    pub charges: BTreeMap<String, ChargeRequest>,
    /// By the idempotency key of the refunded charge.
    pub refunds: BTreeMap<String, RefundRequest>,
    /// Keys that were voided before they were charged.
    pub voided: Vec<String>,
    /// Keys whose card was declined.
    pub declined: Vec<String>,
}

/// The prefix of a charge's id; the rest is the key of the charge.
const CHARGE_ID_PREFIX: &str = "ch_";

impl Charges {
    /// Adds an entry of the write-ahead log.
    pub fn restore(&mut self, key: String, entry: Entry) {
        if let Entry::Refunded(request) = &entry
            && let Some(charge_key) = request.charge.strip_prefix(CHARGE_ID_PREFIX)
        {
            self.refund_keys.insert(charge_key.to_owned(), key.clone());
        }
        self.entries.insert(key, entry);
    }

    /// Charges once per key. Also returns the behaviour of the answer: `Succeed`, `Slow` or
    /// `LoseAnswer`.
    ///
    /// # Errors
    /// Why the charge is rejected.
    pub fn charge(
        &mut self,
        key: &str,
        request: &ChargeRequest,
    ) -> Result<(Charge, Behaviour), Refusal> {
        let behaviour = charge_behaviour(&request.token);
        match self.entries.get(key) {
            Some(Entry::Charged(charged)) if charged == request => {
                let answer = match behaviour {
                    Behaviour::Slow => Behaviour::Slow,
                    _ => Behaviour::Succeed,
                };
                return Ok((charge_answer(key, request), answer));
            }
            Some(Entry::Declined(declined)) if declined == request => {
                return Err(Refusal::Declined);
            }
            Some(Entry::Voided) => return Err(Refusal::Voided),
            Some(_) => return Err(Refusal::KeyReused),
            None => {}
        }

        self.check_available(key, behaviour)?;
        if behaviour == Behaviour::Decline {
            let entry = Entry::Declined(request.clone());
            self.entries.insert(key.to_owned(), entry);
            return Err(Refusal::Declined);
        }

        let entry = Entry::Charged(request.clone());
        self.entries.insert(key.to_owned(), entry);
        let answer = match behaviour {
            Behaviour::Slow => Behaviour::Slow,
            Behaviour::LoseAnswer if self.lost_answers.insert(key.to_owned()) => {
                Behaviour::LoseAnswer
            }
            _ => Behaviour::Succeed,
        };
        Ok((charge_answer(key, request), answer))
    }

    /// Refunds a whole charge once, whatever the key.
    ///
    /// # Errors
    /// Why the refund is rejected.
    pub fn refund(&mut self, key: &str, request: &RefundRequest) -> Result<Charge, Refusal> {
        match self.entries.get(key) {
            Some(Entry::Refunded(refunded)) if refunded == request => {
                return Ok(refund_answer(request));
            }
            Some(_) => return Err(Refusal::KeyReused),
            None => {}
        }

        let charge_key = request
            .charge
            .strip_prefix(CHARGE_ID_PREFIX)
            .unwrap_or_default()
            .to_owned();
        let Some(Entry::Charged(charged)) = self.entries.get(&charge_key) else {
            return Err(Refusal::NoSuchCharge);
        };
        if charged.amount != request.amount || charged.currency != request.currency {
            return Err(Refusal::NoSuchCharge);
        }
        if self.refund_keys.contains_key(&charge_key) {
            return Err(Refusal::AlreadyRefunded);
        }

        let behaviour = refund_behaviour(&charged.token);
        self.check_available(key, behaviour)?;
        self.refund_keys.insert(charge_key, key.to_owned());
        let entry = Entry::Refunded(request.clone());
        self.entries.insert(key.to_owned(), entry);
        Ok(refund_answer(request))
    }

    /// Voids a key, so that it is never charged. Returns the charge if there is one already.
    ///
    /// # Errors
    /// If the key belongs to a refund, or there are too many keys.
    pub fn void(&mut self, key: &str) -> Result<Option<Charge>, Refusal> {
        match self.entries.get(key) {
            Some(Entry::Charged(request)) => Ok(Some(charge_answer(key, request))),
            Some(Entry::Declined(_) | Entry::Voided) => Ok(None),
            Some(Entry::Refunded(_)) => Err(Refusal::KeyReused),
            None if self.entries.len() >= MAX_KEYS => Err(Refusal::Full),
            None => {
                self.entries.insert(key.to_owned(), Entry::Voided);
                Ok(None)
            }
        }
    }

    /// Ends all outages.
    pub fn heal(&mut self) {
        self.healed = true;
    }

    /// The result of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The results of all keys.
    pub fn report(&self) -> ChargeReport {
        let mut report = ChargeReport::default();
        for (key, entry) in &self.entries {
            match entry {
                Entry::Charged(request) => {
                    report.charges.insert(key.clone(), request.clone());
                }
                Entry::Declined(_) => report.declined.push(key.clone()),
                Entry::Voided => report.voided.push(key.clone()),
                Entry::Refunded(request) => {
                    let charge_key = request.charge.trim_start_matches(CHARGE_ID_PREFIX);
                    report
                        .refunds
                        .insert(charge_key.to_owned(), request.clone());
                }
            }
        }
        report
    }

    fn check_available(&mut self, key: &str, behaviour: Behaviour) -> Result<(), Refusal> {
        if self.entries.len() >= MAX_KEYS || self.failures.len() >= MAX_KEYS {
            return Err(Refusal::Full);
        }
        match behaviour {
            Behaviour::Outage if !self.healed => Err(Refusal::Unavailable),
            Behaviour::Flaky => {
                let failures = self.failures.entry(key.to_owned()).or_default();
                *failures += 1;
                if *failures <= FLAKY_FAILURES {
                    return Err(Refusal::Unavailable);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn charge_answer(key: &str, request: &ChargeRequest) -> Charge {
    Charge {
        charge: format!("{CHARGE_ID_PREFIX}{key}"),
        amount: request.amount,
        currency: request.currency.clone(),
    }
}

fn refund_answer(request: &RefundRequest) -> Charge {
    Charge {
        charge: request.charge.clone(),
        amount: request.amount,
        currency: request.currency.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge_request(token: &str) -> ChargeRequest {
        ChargeRequest {
            amount: 1100,
            currency: "EUR".to_owned(),
            token: token.to_owned(),
        }
    }

    fn refund_request(key: &str) -> RefundRequest {
        RefundRequest {
            charge: format!("{CHARGE_ID_PREFIX}{key}"),
            amount: 1100,
            currency: "EUR".to_owned(),
        }
    }

    #[test]
    fn key_is_charged_once_and_repeats_its_answer() {
        let mut charges = Charges::default();
        let first = charges.charge("k", &charge_request("tok_visa")).unwrap();
        assert_eq!(
            charges.charge("k", &charge_request("tok_visa")).unwrap(),
            first
        );
        assert_eq!(
            charges.charge("k", &charge_request("tok_other")),
            Err(Refusal::KeyReused)
        );
        assert_eq!(charges.report().charges.len(), 1);
    }

    #[test]
    fn tokens_select_their_behaviour() {
        let mut charges = Charges::default();
        assert_eq!(
            charges.charge("d", &charge_request("tok_declined")),
            Err(Refusal::Declined)
        );
        let flaky: Vec<bool> = (0..3)
            .map(|_| charges.charge("f", &charge_request("tok_flaky")).is_ok())
            .collect();
        assert_eq!(flaky, [false, false, true]);
        assert_eq!(
            charges.charge("l", &charge_request("tok_lost")).unwrap().1,
            Behaviour::LoseAnswer
        );
        assert_eq!(
            charges.charge("l", &charge_request("tok_lost")).unwrap().1,
            Behaviour::Succeed
        );
        assert_eq!(
            charges.charge("o", &charge_request("tok_outage")),
            Err(Refusal::Unavailable)
        );
        charges.heal();
        assert!(charges.charge("o", &charge_request("tok_outage")).is_ok());
    }

    #[test]
    fn charge_is_refunded_once_under_any_key() {
        let mut charges = Charges::default();
        assert_eq!(
            charges.refund("r", &refund_request("k")),
            Err(Refusal::NoSuchCharge)
        );
        charges
            .charge("k", &charge_request("tok_refund_flaky"))
            .unwrap();
        let tries: Vec<bool> = (0..3)
            .map(|_| charges.refund("r", &refund_request("k")).is_ok())
            .collect();
        assert_eq!(tries, [false, false, true]);
        assert!(
            charges.refund("r", &refund_request("k")).is_ok(),
            "the same key gets the same answer"
        );
        assert_eq!(
            charges.refund("r2", &refund_request("k")),
            Err(Refusal::AlreadyRefunded)
        );
        assert_eq!(charges.report().refunds.len(), 1);
    }

    #[test]
    fn voided_key_is_rejected_and_charged_key_returned() {
        let mut charges = Charges::default();
        assert_eq!(charges.void("k"), Ok(None));
        assert_eq!(
            charges.charge("k", &charge_request("tok_visa")),
            Err(Refusal::Voided)
        );
        let (charge, _) = charges.charge("c", &charge_request("tok_visa")).unwrap();
        assert_eq!(charges.void("c"), Ok(Some(charge)));
    }
}

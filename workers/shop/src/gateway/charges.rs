//! What the gateway has charged, refunded and voided, by idempotency key: pure, the independent books of a test.

use super::behaviour::{Behaviour, FLAKY, charging, refunding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Keys kept. A gateway to try against is not run for ever; past it new keys are refused (507).
pub const KEYS: usize = 5_000_000;

/// What `POST /charges` is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeRequest {
    /// Of the smallest unit of the currency.
    pub amount: i64,
    /// The currency.
    pub currency: String,
    /// The card.
    pub token: String,
}

/// What `POST /refunds` is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// The charge, as it was answered.
    pub charge: String,
    /// The whole of it.
    pub amount: i64,
    /// Its currency.
    pub currency: String,
}

/// What became of a key: the answer that it gets for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    /// It was charged.
    Charged(ChargeRequest),
    /// It was declined.
    Declined(ChargeRequest),
    /// It was voided before anything was charged: it will be charged no more.
    Voided,
    /// A charge was refunded under this key.
    Refunded(RefundRequest),
}

/// A charge, or the refund of one, as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// What it is called from now on.
    pub charge: String,
    /// Of the smallest unit of the currency.
    pub amount: i64,
    /// The currency.
    pub currency: String,
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The card (402).
    Declined,
    /// The key was voided (409).
    Voided,
    /// The key was used for something else (422).
    KeyReused,
    /// There is no such charge, or it is over another amount (404).
    NoSuchCharge,
    /// The charge was refunded under another key (409).
    AlreadyRefunded,
    /// Not now (503).
    Unavailable,
    /// There are too many keys (507).
    Full,
}

/// All that the gateway knows.
#[derive(Debug, Default)]
pub struct Charges {
    entries: BTreeMap<String, Entry>,
    /// The key under which a charge was refunded, by the charge's key.
    refunds: BTreeMap<String, String>,
    failures: BTreeMap<String, u32>,
    lost: BTreeMap<String, ()>,
    healed: bool,
}

/// The books, as `GET /books` shows them: what happened under each key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeReport {
    /// By idempotency key.
    pub charges: BTreeMap<String, ChargeRequest>,
    /// By the key of the charge refunded.
    pub refunds: BTreeMap<String, RefundRequest>,
    /// Keys that will never be charged.
    pub voided: Vec<String>,
    /// Keys that were declined.
    pub declined: Vec<String>,
}

/// What a charge is called: its key, so that anybody can find it in the books.
fn charge_id(key: &str) -> String {
    format!("ch_{key}")
}

impl Charges {
    /// Writes down what a journal says.
    pub fn restore(&mut self, key: String, entry: Entry) {
        if let Entry::Refunded(request) = &entry
            && let Some(charge) = request.charge.strip_prefix("ch_")
        {
            self.refunds.insert(charge.to_owned(), key.clone());
        }
        self.entries.insert(key, entry);
    }

    /// Charges, once a key. Says how the answer travels.
    ///
    /// # Errors
    /// Why not.
    pub fn charge(
        &mut self,
        key: &str,
        request: &ChargeRequest,
    ) -> Result<(Charge, Behaviour), Refusal> {
        match self.entries.get(key) {
            Some(Entry::Charged(before)) if before == request => {
                let late = if charging(&request.token) == Behaviour::Slow {
                    Behaviour::Slow
                } else {
                    Behaviour::Good
                };
                return Ok((answer(key, request), late));
            }
            Some(Entry::Declined(before)) if before == request => return Err(Refusal::Declined),
            Some(Entry::Voided) => return Err(Refusal::Voided),
            Some(_) => return Err(Refusal::KeyReused),
            None => {}
        }
        let manner = charging(&request.token);
        self.may_proceed(key, manner)?;
        if manner == Behaviour::Declined {
            self.entries
                .insert(key.to_owned(), Entry::Declined(request.clone()));
            return Err(Refusal::Declined);
        }
        self.entries
            .insert(key.to_owned(), Entry::Charged(request.clone()));
        let first_is_lost =
            manner == Behaviour::Lost && self.lost.insert(key.to_owned(), ()).is_none();
        let travels = match manner {
            Behaviour::Slow => Behaviour::Slow,
            _ if first_is_lost => Behaviour::Lost,
            _ => Behaviour::Good,
        };
        Ok((answer(key, request), travels))
    }

    /// Refunds a whole charge, once.
    ///
    /// # Errors
    /// Why not.
    pub fn refund(&mut self, key: &str, request: &RefundRequest) -> Result<Charge, Refusal> {
        match self.entries.get(key) {
            Some(Entry::Refunded(before)) if before == request => return Ok(refunded(request)),
            Some(_) => return Err(Refusal::KeyReused),
            None => {}
        }
        let charge_key = request
            .charge
            .strip_prefix("ch_")
            .unwrap_or_default()
            .to_owned();
        let Some(Entry::Charged(charged)) = self.entries.get(&charge_key) else {
            return Err(Refusal::NoSuchCharge);
        };
        if charged.amount != request.amount || charged.currency != request.currency {
            return Err(Refusal::NoSuchCharge);
        }
        if self.refunds.contains_key(&charge_key) {
            return Err(Refusal::AlreadyRefunded);
        }
        let manner = refunding(&charged.token);
        self.may_proceed(key, manner)?;
        self.refunds.insert(charge_key, key.to_owned());
        self.entries
            .insert(key.to_owned(), Entry::Refunded(request.clone()));
        Ok(refunded(request))
    }

    /// From now on nothing is charged under that key. If it was, says what.
    ///
    /// # Errors
    /// If the key is no charge's, or there are too many.
    pub fn void(&mut self, key: &str) -> Result<Option<Charge>, Refusal> {
        match self.entries.get(key) {
            Some(Entry::Charged(request)) => Ok(Some(answer(key, request))),
            Some(Entry::Declined(_) | Entry::Voided) => Ok(None),
            Some(Entry::Refunded(_)) => Err(Refusal::KeyReused),
            None if self.entries.len() >= KEYS => Err(Refusal::Full),
            None => {
                self.entries.insert(key.to_owned(), Entry::Voided);
                Ok(None)
            }
        }
    }

    /// What was out works from now on.
    pub fn heal(&mut self) {
        self.healed = true;
    }

    /// What became of that key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// All of it.
    pub fn book(&self) -> ChargeReport {
        let mut book = ChargeReport::default();
        for (key, entry) in &self.entries {
            match entry {
                Entry::Charged(request) => drop(book.charges.insert(key.clone(), request.clone())),
                Entry::Declined(_) => book.declined.push(key.clone()),
                Entry::Voided => book.voided.push(key.clone()),
                Entry::Refunded(request) => {
                    let charge = request.charge.trim_start_matches("ch_").to_owned();
                    book.refunds.insert(charge, request.clone());
                }
            }
        }
        book
    }

    fn may_proceed(&mut self, key: &str, manner: Behaviour) -> Result<(), Refusal> {
        if self.entries.len() >= KEYS || self.failures.len() >= KEYS {
            return Err(Refusal::Full);
        }
        match manner {
            Behaviour::Outage if !self.healed => Err(Refusal::Unavailable),
            Behaviour::Flaky => {
                let failures = self.failures.entry(key.to_owned()).or_default();
                *failures += 1;
                if *failures <= FLAKY {
                    Err(Refusal::Unavailable)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }
}

fn answer(key: &str, request: &ChargeRequest) -> Charge {
    Charge {
        charge: charge_id(key),
        amount: request.amount,
        currency: request.currency.clone(),
    }
}

fn refunded(request: &RefundRequest) -> Charge {
    Charge {
        charge: request.charge.clone(),
        amount: request.amount,
        currency: request.currency.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(token: &str) -> ChargeRequest {
        ChargeRequest {
            amount: 1100,
            currency: "EUR".to_owned(),
            token: token.to_owned(),
        }
    }

    fn back(key: &str) -> RefundRequest {
        RefundRequest {
            charge: charge_id(key),
            amount: 1100,
            currency: "EUR".to_owned(),
        }
    }

    #[test]
    fn a_key_is_charged_once_and_answers_the_same_for_ever() {
        let mut books = Charges::default();
        let first = books.charge("k", &asks("tok_visa")).unwrap();
        assert_eq!(books.charge("k", &asks("tok_visa")).unwrap(), first);
        assert_eq!(
            books.charge("k", &asks("tok_other")),
            Err(Refusal::KeyReused)
        );
        assert_eq!(books.book().charges.len(), 1);
    }

    #[test]
    fn tokens_behave_as_they_are_called() {
        let mut books = Charges::default();
        assert_eq!(
            books.charge("d", &asks("tok_declined")),
            Err(Refusal::Declined)
        );
        let flaky: Vec<bool> = (0..3)
            .map(|_| books.charge("f", &asks("tok_flaky")).is_ok())
            .collect();
        assert_eq!(flaky, [false, false, true]);
        assert_eq!(
            books.charge("l", &asks("tok_lost")).unwrap().1,
            Behaviour::Lost
        );
        assert_eq!(
            books.charge("l", &asks("tok_lost")).unwrap().1,
            Behaviour::Good
        );
        assert_eq!(
            books.charge("o", &asks("tok_outage")),
            Err(Refusal::Unavailable)
        );
        books.heal();
        assert!(books.charge("o", &asks("tok_outage")).is_ok());
    }

    #[test]
    fn a_charge_is_refunded_once_whatever_the_key() {
        let mut books = Charges::default();
        assert_eq!(books.refund("r", &back("k")), Err(Refusal::NoSuchCharge));
        books.charge("k", &asks("tok_refund_flaky")).unwrap();
        let tries: Vec<bool> = (0..3)
            .map(|_| books.refund("r", &back("k")).is_ok())
            .collect();
        assert_eq!(tries, [false, false, true]);
        assert!(
            books.refund("r", &back("k")).is_ok(),
            "the same key gets the same answer"
        );
        assert_eq!(
            books.refund("r2", &back("k")),
            Err(Refusal::AlreadyRefunded)
        );
        assert_eq!(books.book().refunds.len(), 1);
    }

    #[test]
    fn a_voided_key_is_never_charged_and_a_charged_one_says_so() {
        let mut books = Charges::default();
        assert_eq!(books.void("k"), Ok(None));
        assert_eq!(books.charge("k", &asks("tok_visa")), Err(Refusal::Voided));
        let (charge, _) = books.charge("c", &asks("tok_visa")).unwrap();
        assert_eq!(books.void("c"), Ok(Some(charge)));
    }
}

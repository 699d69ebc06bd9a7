/// Collects a sentence for each invariant that does not hold.
#[derive(Default)]
pub(super) struct Violations(Vec<String>);

impl Violations {
    pub(super) fn require(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        if !holds {
            self.0.push(sentence());
        }
    }

    pub(super) fn add(&mut self, sentence: String) {
        self.0.push(sentence);
    }

    /// Adds the violations of one step, each with the step's name in front.
    pub(super) fn add_step(&mut self, step: &str, violations: Self) {
        let sentences = violations.0.into_iter();
        self.0
            .extend(sentences.map(|sentence| format!("step {step}: {sentence}")));
    }

    pub(super) fn into_result(self) -> Result<(), Vec<String>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }
}

//! Reading the fields of a JSON object. Every mistake is noted with its pointer, so that all are told at once; a field
//! that nobody asked for is refused by its name.

use super::problem::FieldMistake;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::ops::RangeInclusive;

/// More mistakes than anyone reads; a body of 64 KiB could make thousands.
const MISTAKES_MOST: usize = 100;
/// Longest name of a field that is repeated to the caller.
const NAME_CHARS_MOST: usize = 100;
/// Longest pointer that is told: into all the depths that a schema speaks of.
const POINTER_CHARS_MOST: usize = 1_000;

/// What is wrong with a body.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<FieldMistake>);

impl Mistakes {
    /// Notes one.
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.0.len() < MISTAKES_MOST {
            self.0.push(FieldMistake {
                pointer: pointer.into(),
                detail: detail.into(),
            });
        }
    }

    /// All of them, in the order found.
    pub fn into_list(self) -> Vec<FieldMistake> {
        self.0
    }
}

/// The fields of one object.
#[derive(Debug)]
pub struct Fields<'v> {
    at: String,
    object: &'v Map<String, Value>,
    asked: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// The fields of the value at that pointer; a mistake if it is no object.
    pub fn of(value: &'v Value, at: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let object = value.as_object();
        if object.is_none() {
            mistakes.add(at, "must be an object");
        }
        object.map(|object| Self {
            at: at.to_owned(),
            object,
            asked: Vec::new(),
        })
    }

    /// Where a field stands.
    pub fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.at, escape(name))
    }

    /// A field that may be missing.
    pub fn optional(&mut self, name: &'static str) -> Option<&'v Value> {
        self.asked.push(name);
        self.object.get(name)
    }

    /// A field that must be there.
    pub fn required(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<&'v Value> {
        let value = self.optional(name);
        if value.is_none() {
            mistakes.add(self.pointer(name), "is missing");
        }
        value
    }

    /// A text of so many characters, without NUL, which no database text takes.
    pub fn text(
        &mut self,
        name: &'static str,
        chars: RangeInclusive<usize>,
        mistakes: &mut Mistakes,
    ) -> Option<String> {
        let value = self.required(name, mistakes)?;
        check_text(value, &self.pointer(name), &chars, mistakes)
    }

    /// The same for a text that may be missing or null. `Some(None)`: it is; `None`: there is a mistake in it.
    #[expect(
        clippy::option_option,
        reason = "a mistake and a missing value are two things"
    )]
    pub fn optional_text(
        &mut self,
        name: &'static str,
        chars: RangeInclusive<usize>,
        mistakes: &mut Mistakes,
    ) -> Option<Option<String>> {
        match self.optional(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => check_text(value, &self.pointer(name), &chars, mistakes).map(Some),
        }
    }

    /// One of a few words.
    pub fn one_of(
        &mut self,
        name: &'static str,
        words: &[&'static str],
        mistakes: &mut Mistakes,
    ) -> Option<&'static str> {
        let value = self.required(name, mistakes)?;
        let word = value
            .as_str()
            .and_then(|text| words.iter().copied().find(|word| *word == text));
        if word.is_none() {
            let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            mistakes.add(
                self.pointer(name),
                format!("must be {}", words.join(" or ")),
            );
        }
        word
    }

    /// A whole number between two.
    pub fn whole(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        mistakes: &mut Mistakes,
    ) -> Option<u64> {
        let value = self.required(name, mistakes)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            mistakes.add(
                self.pointer(name),
                format!("must be a whole number from {least} to {most}"),
            );
        }
        number
    }

    /// The fields of an object within.
    pub fn object(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<Fields<'v>> {
        let value = self.required(name, mistakes)?;
        Fields::of(value, &self.pointer(name), mistakes)
    }

    /// A list of so many objects, each read by `read`.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        length: RangeInclusive<usize>,
        mistakes: &mut Mistakes,
        mut read: impl FnMut(&mut Fields<'v>, &mut Mistakes) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.required(name, mistakes)?;
        let Some(items) = value
            .as_array()
            .filter(|items| length.contains(&items.len()))
        else {
            mistakes.add(
                self.pointer(name),
                format!("must be a list of {} to {}", length.start(), length.end()),
            );
            return None;
        };
        let each = items.iter().enumerate().map(|(index, item)| {
            let mut fields =
                Fields::of(item, &format!("{}/{index}", self.pointer(name)), mistakes)?;
            let read = read(&mut fields, mistakes);
            fields.finish(mistakes);
            read
        });
        // Collected first: the first mistake must not keep the others from being found.
        let each: Vec<_> = each.collect();
        each.into_iter().collect()
    }

    /// Refuses every field that was not asked for.
    pub fn finish(&self, mistakes: &mut Mistakes) {
        for name in self
            .object
            .keys()
            .filter(|name| !self.asked.contains(&name.as_str()))
        {
            let known = if self.asked.is_empty() {
                "none"
            } else {
                &self.asked.join(", ")
            };
            mistakes.add(
                self.pointer(name),
                format!("is not known; the fields here are: {known}"),
            );
        }
    }
}

fn check_text(
    value: &Value,
    pointer: &str,
    chars: &RangeInclusive<usize>,
    mistakes: &mut Mistakes,
) -> Option<String> {
    let Some(text) = value.as_str() else {
        mistakes.add(pointer, "must be a text");
        return None;
    };
    if !chars.contains(&text.chars().count()) {
        mistakes.add(
            pointer,
            format!("must have {} to {} characters", chars.start(), chars.end()),
        );
        return None;
    }
    if text.contains('\0') {
        mistakes.add(pointer, "must not contain the character NUL");
        return None;
    }
    Some(text.to_owned())
}

/// A name as a part of a JSON Pointer in a URI fragment (RFC 6901, sections 3 and 6).
fn escape(name: &str) -> String {
    let cut: String = name.chars().take(NAME_CHARS_MOST).collect();
    as_fragment(&cut.replace('~', "~0").replace('/', "~1"))
}

/// A JSON Pointer as it stands in a URI fragment, cut to the length of a few names.
pub fn as_fragment(pointer: &str) -> String {
    let mut escaped = String::new();
    let cut: String = pointer.chars().take(POINTER_CHARS_MOST).collect();
    for byte in cut.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@?".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a String takes everything");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_mistakes_are_told_at_once_each_with_its_pointer() {
        let value =
            json!({"list": [{"n": 0}, 7, {"n": 1, "x y/z": 1}], "text": 5, "surplus": null});
        let mut mistakes = Mistakes::default();
        let mut fields = Fields::of(&value, "#", &mut mistakes).unwrap();
        let list = fields.list("list", 1..=3, &mut mistakes, |item, mistakes| {
            item.whole("n", 1..=9, mistakes)
        });
        assert_eq!(list, None);
        assert_eq!(fields.text("text", 1..=3, &mut mistakes), None);
        assert_eq!(fields.text("gone", 1..=3, &mut mistakes), None);
        fields.finish(&mut mistakes);
        let pointers: Vec<_> = mistakes
            .into_list()
            .into_iter()
            .map(|mistake| mistake.pointer)
            .collect();
        assert_eq!(
            pointers,
            [
                "#/list/0/n",
                "#/list/1",
                "#/list/2/x%20y~1z",
                "#/text",
                "#/gone",
                "#/surplus"
            ]
        );
    }

    #[test]
    fn a_text_is_measured_in_characters_and_holds_no_nul() {
        let value = json!({"a": "äöü", "b": "a\u{0}", "c": ""});
        let mut mistakes = Mistakes::default();
        let mut fields = Fields::of(&value, "#", &mut mistakes).unwrap();
        assert_eq!(
            fields.text("a", 1..=3, &mut mistakes).as_deref(),
            Some("äöü")
        );
        assert_eq!(fields.text("b", 1..=3, &mut mistakes), None);
        assert_eq!(fields.text("c", 1..=3, &mut mistakes), None);
        assert_eq!(mistakes.into_list().len(), 2);
    }
}

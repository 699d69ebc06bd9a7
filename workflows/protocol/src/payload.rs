//! JSON that is passed through unparsed, byte for byte.

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// A JSON value as text, cheap to clone. Two payloads are equal if their bytes are.
///
/// It can only be deserialized from JSON text, and not inside serde's tagged or untagged enums, because those buffer
/// values and lose the text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload(Arc<RawValue>);

impl Payload {
    /// Serializes a value as JSON.
    ///
    /// # Errors
    /// If the value has no JSON form (a map whose keys are not strings).
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(|raw| Self(raw.into()))
    }

    /// Wraps JSON text without changing it.
    ///
    /// # Errors
    /// If the text is not JSON.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(|raw| Self(raw.into()))
    }

    /// Deserializes the value as a `T`.
    ///
    /// # Errors
    /// If the value does not have the shape of a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// The JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The value `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }

    /// The value `{}`.
    pub fn empty() -> Self {
        Self(
            RawValue::from_string("{}".to_owned())
                .expect("{} is JSON")
                .into(),
        )
    }
}

/// For `deserialize_with`: distinguishes a field that is `null` from one that is absent.
///
/// Serde alone reads both as `None`, and a saga that is loaded would differ from the saga that was stored.
///
/// # Errors
/// Those of the deserializer.
pub fn deserialize_some<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(deserializer).map(Some)
}

impl Default for Payload {
    fn default() -> Self {
        Self::null()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl From<serde_json::Value> for Payload {
    fn from(value: serde_json::Value) -> Self {
        Self(
            RawValue::from_string(value.to_string())
                .expect("a Value prints as JSON")
                .into(),
        )
    }
}

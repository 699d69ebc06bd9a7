//! Enum values that a newer server may extend.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A value of the enum `T`, or the text of a value that this release does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenEnum<T> {
    /// A known value.
    Known(T),
    /// The text of an unknown value.
    Unknown(String),
}

impl<T> OpenEnum<T> {
    /// The value, if this release knows it.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> From<T> for OpenEnum<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: fmt::Display> fmt::Display for OpenEnum<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(value) => value.fmt(f),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl<T: Serialize> Serialize for OpenEnum<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Unknown(text) => text.serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OpenEnum<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let value: StrDeserializer<'_, serde::de::value::Error> = (&*text).into_deserializer();

        Ok(T::deserialize(value).map_or_else(|_| Self::Unknown(text.into_owned()), Self::Known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_core::saga::Status;

    #[test]
    fn unknown_value_is_kept_as_text() {
        let known: OpenEnum<Status> = serde_json::from_str("\"parked\"").unwrap();
        assert_eq!(known, OpenEnum::Known(Status::Parked));

        let unknown: OpenEnum<Status> = serde_json::from_str("\"archived\"").unwrap();
        assert_eq!(unknown, OpenEnum::Unknown("archived".to_owned()));
        assert_eq!(serde_json::to_string(&unknown).unwrap(), "\"archived\"");
        assert_eq!(unknown.to_string(), "archived");
    }
}

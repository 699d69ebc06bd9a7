//! Settings that hold a secret: a variable, or a file that a variable names. No flag.

use std::fmt;

/// Where variables are read from: the process's environment, or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text that is never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads the variable `name`, or the file that `name_FILE` names, without the line end.
    ///
    /// # Errors
    /// In a sentence: both are set, the file can't be read, or there is nothing in it.
    pub fn read(name: &str, environment: Environment<'_>) -> Result<Option<Self>, String> {
        let twin = format!("{name}_FILE");
        let text = match (environment(name), environment(&twin)) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "{name} and {twin} are both set; one of them is wanted"
                ));
            }
            (None, None) => return Ok(None),
            (Some(text), None) => text,
            (None, Some(path)) => std::fs::read_to_string(&path)
                .map_err(|error| format!("{twin} names {path}, which cannot be read: {error}"))?,
        };
        match text.trim() {
            "" => Err(format!("{name} is set, and empty")),
            text => Ok(Some(Self(text.to_owned()))),
        }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_its_variable_or_from_the_file_its_twin_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://from-file\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let read = |set: Vec<(&str, String)>| {
            let environment = move |name: &str| {
                set.iter()
                    .find(|(set, _)| *set == name)
                    .map(|(_, value)| value.clone())
            };
            Secret::read("DATABASE_URL", &environment)
        };

        assert_eq!(read(vec![]).unwrap(), None);
        assert_eq!(
            read(vec![("DATABASE_URL", "postgres://x".into())])
                .unwrap()
                .unwrap()
                .expose(),
            "postgres://x"
        );
        assert_eq!(
            read(vec![("DATABASE_URL_FILE", path.clone())])
                .unwrap()
                .unwrap()
                .expose(),
            "postgres://from-file"
        );
        assert!(
            read(vec![
                ("DATABASE_URL", "x".into()),
                ("DATABASE_URL_FILE", path)
            ])
            .unwrap_err()
            .contains("both")
        );
        assert!(
            read(vec![("DATABASE_URL_FILE", "/nowhere".into())])
                .unwrap_err()
                .contains("/nowhere")
        );
        assert!(
            read(vec![("DATABASE_URL", " ".into())])
                .unwrap_err()
                .contains("empty")
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(
            format!("{:?}", Secret::from("postgres://u:p@h/d".to_owned())),
            "•••"
        );
    }
}

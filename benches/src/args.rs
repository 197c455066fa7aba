//! The command line: words by position, `--name value` pairs and `--name` alone, taken one after the other.
//!
//! Whatever nobody took is an error, so that a mistyped option does not measure something else in silence.

use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

/// Any error that ends the program with its text.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The words after the subcommand that were not taken yet.
pub struct Args {
    words: Vec<String>,
}

impl Args {
    /// Starts with all the words.
    pub fn new(words: &[String]) -> Self {
        Args { words: words.to_vec() }
    }

    /// Takes the value of `--name`, if it is there.
    pub fn option<T>(&mut self, name: &str) -> Result<Option<T>, Failure>
    where
        T: FromStr<Err: Display>,
    {
        let Some(at) = self.words.iter().position(|word| word == name) else {
            return Ok(None);
        };
        if at + 1 == self.words.len() {
            return Err(format!("{name} needs a value").into());
        }
        let value = self.words.remove(at + 1);
        self.words.remove(at);
        parse(name, &value).map(Some)
    }

    /// Takes the value of `--name`, a list separated by commas, if it is there.
    pub fn list<T>(&mut self, name: &str) -> Result<Option<Vec<T>>, Failure>
    where
        T: FromStr<Err: Display>,
    {
        match self.option::<String>(name)? {
            None => Ok(None),
            Some(value) => value.split(',').map(|part| parse(name, part)).collect::<Result<_, _>>().map(Some),
        }
    }

    /// Takes `--name`, which has no value; whether it is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|word| word == name);
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// Takes the next word that must be there. Options are taken before words.
    pub fn word<T>(&mut self, what: &str) -> Result<T, Failure>
    where
        T: FromStr<Err: Display>,
    {
        if self.words.is_empty() {
            return Err(format!("{what} is missing\n{}", crate::USAGE).into());
        }
        let value = self.words.remove(0);
        parse(what, &value)
    }

    /// Takes all words that are left, none of which is an option. Options are taken before words.
    pub fn rest<T>(&mut self, what: &str) -> Result<Vec<T>, Failure>
    where
        T: FromStr<Err: Display>,
    {
        if let Some(option) = self.words.iter().find(|word| word.starts_with("--")) {
            return Err(format!("`{option}` was not understood\n{}", crate::USAGE).into());
        }
        self.words.drain(..).map(|word| parse(what, &word)).collect()
    }

    /// Succeeds if everything was taken.
    pub fn finish(self) -> Result<(), Failure> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(format!("`{word}` was not understood\n{}", crate::USAGE).into()),
        }
    }
}

fn parse<T>(what: &str, value: &str) -> Result<T, Failure>
where
    T: FromStr<Err: Display>,
{
    value.parse().map_err(|error| format!("{what}: `{value}`: {error}").into())
}

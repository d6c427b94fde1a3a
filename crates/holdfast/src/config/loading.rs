//! How the configuration is read: the file, the environment on top of it, then the checks.

use std::path::Path;

use super::{Config, ConfigError, diagnose, environment};

impl Config {
    /// Reads `file` (if given), applies the environment and checks the keys and their combinations.
    ///
    /// # Errors
    /// All errors that can be found at once.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        match Self::read(file)? {
            (config, None) => Ok(config),
            (_, Some(wrong)) => Err(wrong),
        }
    }

    /// The same for commands that don't serve: the configuration as far as it can be read, and its errors. A broken
    /// certificate must not prevent commands on the running service.
    ///
    /// # Errors
    /// Syntax errors.
    pub fn read(file: Option<&Path>) -> Result<(Self, Option<ConfigError>), ConfigError> {
        let env = std::env::vars().filter(|(name, _)| name.starts_with(environment::PREFIX));
        match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
                Self::from_text(&text, path, env)
            }
            None => Self::from_text("", Path::new("(no file)"), env),
        }
    }

    /// Parses `text`; returns the configuration and its errors. `path` is only for messages.
    fn from_text(
        text: &str,
        path: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, Option<ConfigError>), ConfigError> {
        // The file alone first, so that its errors are reported with their lines.
        diagnose::read::<Self>(text, path)?;
        let mut table: toml::Table = text.parse().expect("it parsed a moment ago");
        let set = environment::overlay(&mut table, env)?;
        let config: Self = table.try_into().expect("it was read with each variable");
        let mut wrong: Vec<ConfigError> =
            config.mistakes().into_iter().map(|finding| diagnose::wrong(text, path, &set, finding)).collect();
        let wrong = match wrong.len() {
            0 => None,
            1 => wrong.pop(),
            _ => Some(ConfigError::Several(wrong)),
        };
        Ok((config, wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByteSize;

    fn load(text: &str) -> Result<Config, ConfigError> {
        with_env(text, &[])
    }

    fn with_env(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (config, wrong) = Config::from_text(text, Path::new("holdfast.toml"), env)?;
        wrong.map_or(Ok(config), Err)
    }

    #[test]
    fn nothing_configured_listens_on_this_machine_only() {
        let config = load("").unwrap();
        let listen = &config.listen;
        for addresses in [&listen.smtp, &listen.submission, &listen.imap, &listen.imaps, &listen.http, &listen.https] {
            assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() > 1024));
        }
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_nearest_key() {
        let message = load("hostname = \"mx.example\"\n\n[listen]\nsmpt = []\n").unwrap_err().to_string();
        assert!(message.contains("holdfast.toml:4"), "{message}");
        assert!(message.contains("smpt"), "{message}");
        assert!(message.contains("did you mean `smtp`"), "{message}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let message = load("[limits]\nmessage_size = \"huge\"\n").unwrap_err().to_string();
        assert!(message.contains("holdfast.toml:2") && message.contains("50 MiB"), "{message}");
        let message = load("[listen]\nimap = [\"here\"]\n").unwrap_err().to_string();
        assert!(message.contains("holdfast.toml:2"), "{message}");
    }

    #[test]
    fn what_a_key_takes_is_said_with_an_example() {
        for (wrong, remedy) in [
            ("[listen]\nsmtp = [\"0.0.0.0\"]\n", "\"0.0.0.0:25\""),
            ("[listen]\nsmtp = \"0.0.0.0:25\"\n", "write a list"),
            ("[limits]\nconnections = \"many\"\n", "a whole number"),
            ("[limits]\nplaintext_logins = true\n", "in quotes"),
            ("[limits]\nplaintext_logins = \"local\"\n", "loopback"),
            ("[log]\nformat = \"jsn\"\n", "did you mean `json`"),
            ("[log]\nlevel = 5\n", "in quotes"),
            ("[web]\ntrusted_proxies = [\"localhost\"]\n", "\"192.0.2.1\""),
            ("[log]\nlevel = info\n", "in quotes"),
            ("[log]\nlevel = \"a\"\nlevel = \"b\"\n", "twice"),
            ("[listen\n", "[section]"),
        ] {
            let message = load(wrong).unwrap_err().to_string();
            assert!(message.contains(remedy), "{wrong}{message}");
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_refused_by_name() {
        let message = load("[tls]\ncertificate = \"/nowhere.pem\"\n").unwrap_err().to_string();
        assert!(message.contains("add tls.key") && message.contains("holdfast.toml:2"), "{message}");
    }

    #[test]
    fn an_archive_is_explained_by_the_line_of_its_own_table() {
        let recipient = continuity::archive::codec::new_identity().1;
        let good = format!("[[archive]]\nurl = \"file:///tmp/a\"\nrecipients = [\"{recipient}\"]\n");
        assert_eq!(load(&good).unwrap().archive[0].name(), "file:///tmp/a");
        let refused = |second: &str| load(&format!("{good}\n[[archive]]\n{second}")).unwrap_err().to_string();
        let message = refused("url = \"ftp://there\"\n");
        assert!(message.contains("holdfast.toml:6") && message.contains("s3://bucket"), "{message}");
        let message = refused("name = \"b\"\nurl = \"s3://bucket/x\"\n");
        assert!(message.contains("holdfast.toml:5") && message.contains("new-identity"), "{message}");
        let message = refused(&format!("url = \"file:///tmp/a\"\nrecipients = [\"{recipient}\"]\n"));
        assert!(message.contains("its own name"), "{message}");
        let message = refused("url = \"s3://bucket\"\nrecipients = [\"AGE-SECRET-KEY-1QQQ\"]\n");
        assert!(message.contains("holdfast.toml:7") && message.contains("secret"), "{message}");
        let message = refused("urll = \"s3://bucket\"\n");
        assert!(message.contains("did you mean `url`"), "{message}");
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let env = [
            ("HOLDFAST_HOSTNAME", "mx.example.org"),
            ("HOLDFAST_LISTEN__SMTP", "127.0.0.1:25, 127.0.0.2:25"),
            ("HOLDFAST_LIMITS__MESSAGE_SIZE", "10 MiB"),
            ("HOLDFAST_URL", "http://elsewhere"),
        ];
        let config = with_env("hostname = \"other\"", &env).unwrap();
        assert_eq!(config.hostname, "mx.example.org");
        assert_eq!(config.listen.smtp.len(), 2);
        assert_eq!(config.limits.message_size, ByteSize::mib(10));
    }

    fn from_environment(name: &str, value: &str) -> Result<Config, ConfigError> {
        with_env("", &[(name, value)])
    }

    #[test]
    fn a_variable_that_is_wrong_is_named() {
        let message = |name, value| from_environment(name, value).unwrap_err().to_string();
        let misspelt = message("HOLDFAST_LISTN__SMTP", "127.0.0.1:25");
        assert!(misspelt.contains("HOLDFAST_LISTN__SMTP") && misspelt.contains("HOLDFAST_LISTEN__SMTP"), "{misspelt}");
        let key = message("HOLDFAST_LISTEN__SMPT", "127.0.0.1:25");
        assert!(key.contains("HOLDFAST_LISTEN__SMPT") && key.contains("did you mean HOLDFAST_LISTEN__SMTP"), "{key}");
        let value = message("HOLDFAST_LIMITS__MESSAGE_SIZE", "huge");
        assert!(value.contains("HOLDFAST_LIMITS__MESSAGE_SIZE") && value.contains("50 MiB"), "{value}");
        let checked = message("HOLDFAST_LIMITS__CONNECTIONS", "0");
        assert!(checked.contains("HOLDFAST_LIMITS__CONNECTIONS") && checked.contains("zero"), "{checked}");
    }

    #[test]
    fn every_value_that_is_wrong_is_told_with_its_own_remedy() {
        let text = "hostname = 5\n[limits]\nmessage_size = \"huge\"\nshutdown_grace = \"soon\"\nconections = 5\n[log]\nlevel = 5\n";
        let message = load(text).unwrap_err().to_string();
        for line in [1, 3, 4, 5, 7] {
            assert!(message.contains(&format!("holdfast.toml:{line}:")), "{line}: {message}");
        }
        for remedy in ["write it as \"50 MiB\"", "\"90 s\"", "did you mean `connections`"] {
            assert!(message.contains(remedy), "{remedy}: {message}");
        }
        assert!(!message.contains("key = value"), "{message}");
        // A line that can't be skipped ends it; no error is reported twice.
        let message = load("[limits]\nmessage_size = \"huge\"\n[listen\n").unwrap_err().to_string();
        assert_eq!(message.matches("holdfast.toml:").count(), 1, "{message}");
    }

    #[test]
    fn a_data_folder_that_can_not_be_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for wrong in [file.clone(), file.join("below")] {
            let message = load(&format!("data_dir = {:?}\n", wrong.display().to_string())).unwrap_err().to_string();
            assert!(message.contains("holdfast.toml:1") && message.contains("not a folder"), "{message}");
        }
        load(&format!("data_dir = {:?}\n", dir.path().join("new/one").display().to_string())).unwrap();
    }

    #[test]
    fn several_mistakes_are_told_each_with_its_line() {
        let text = "hostname = \"a b\"\n[limits]\nconnections = 0\n";
        let message = load(text).unwrap_err().to_string();
        assert!(message.contains("holdfast.toml:1") && message.contains("holdfast.toml:3"), "{message}");
    }

    #[test]
    fn the_documented_configuration_is_the_default() {
        let documented = include_str!("../../../../docs/holdfast.toml");
        let uncommented: String = documented
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let config = load(&uncommented).unwrap();
        assert_eq!(toml::to_string(&config).unwrap(), toml::to_string(&Config::default()).unwrap());
    }
}

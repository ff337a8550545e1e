//! What the reader of configuration promises.

use super::{Config, VARIABLES, env_example};

fn read(set: &[(&str, &str)]) -> Result<Config, super::ConfigError> {
    Config::read(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

#[test]
fn nothing_set_is_a_working_configuration() {
    let config = read(&[]).unwrap();
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:7171");
    assert!(config.database.url.is_none() && config.delivery.redis_url.is_none());
    assert!(config.worker.slots.iter().all(|slots| *slots > 0));
}

#[test]
fn every_problem_is_named_at_once_with_form_and_example() {
    let set = [("DATABASE_URL", "mysql://x"), ("GRISTMILL_BIND", "here"), ("GRISTMILL_LEASE_S", "1")];
    let said = read(&set).unwrap_err().to_string();
    for (name, _) in set {
        assert!(said.contains(&format!("{name}: expected ")) && said.contains(&format!("example {name}=")), "{said}");
    }
}

#[test]
fn secrets_do_not_show_in_debug() {
    let config = read(&[("DATABASE_URL", "postgres://u:hunter2@h/d")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_hosting_platforms_port_listens_on_every_interface() {
    assert_eq!(read(&[("PORT", "8080")]).unwrap().http.bind.to_string(), "0.0.0.0:8080");
}

#[test]
fn defaults_and_examples_are_themselves_valid() {
    let examples: Vec<_> = VARIABLES.iter().map(|variable| (variable.name, variable.example)).collect();
    read(&examples).unwrap();
}

#[test]
fn the_env_example_file_lists_every_variable() {
    let file = include_str!("../../../../.env.example");
    assert_eq!(file, env_example(), "write it anew with: cargo run -- env-example > .env.example");
}

//! What the reader of configuration promises.

use super::{Config, DeliveryKind, VARIABLES, env_example};

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
fn a_redis_url_implies_delivery_through_it_unless_another_is_named() {
    let kind = |set: &[(&str, &str)]| read(set).unwrap().delivery.kind;
    let (url, named) = (("REDIS_URL", "rediss+sentinel://a,b/main"), |name| ("GRISTMILL_DELIVERY", name));
    assert_eq!(kind(&[]), DeliveryKind::Memory);
    assert_eq!(kind(&[url]), DeliveryKind::Redis);
    assert_eq!(kind(&[url, named("memory")]), DeliveryKind::Memory);
    assert_eq!(kind(&[url, named("apalis-redis")]), DeliveryKind::ApalisRedis);
    for name in ["redis", "apalis-redis"] {
        assert_eq!(read(&[named(name)]).unwrap_err().problems, ["REDIS_URL"]);
    }
    assert_eq!(read(&[named("pigeon")]).unwrap_err().problems, ["GRISTMILL_DELIVERY"]);
}

#[test]
fn apalis_redis_takes_a_small_window_only() {
    let set = [("REDIS_URL", "redis://a"), ("GRISTMILL_WINDOW", "2001"), ("GRISTMILL_DELIVERY", "apalis-redis")];
    assert_eq!(read(&set).unwrap_err().problems, ["GRISTMILL_WINDOW"]);
    assert_eq!(read(&set[..2]).unwrap().delivery.window, 2_001);
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

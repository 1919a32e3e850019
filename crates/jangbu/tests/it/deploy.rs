//! The files of `deploy/`: that they say the same, that each fits the types of whoever takes it, and what their own tools say
//! of them where those are installed.

mod compose;
mod kubernetes;
mod typed;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where a file of `deploy/` is.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

/// What it says.
pub fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// Is there such a program?
pub fn found(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    there.is_ok_and(|there| there.success())
}

/// What a tool says; nothing where it is not installed.
fn ask(program: &str, words: &[&str]) -> Option<Output> {
    if !found(program) {
        eprintln!("left out: {program} is not installed");
        return None;
    }
    Some(Command::new(program).args(words).stdin(Stdio::null()).output().unwrap())
}

fn assert_fine(output: &Output) {
    let [said, complained] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{said}{complained}");
}

/// Every service, and whom it asks, as the program tells it.
fn services() -> Vec<(String, Vec<String>)> {
    let told = Command::new(env!("CARGO_BIN_EXE_jangbu")).arg("services").output().unwrap();
    let asked = |names: &str| names.split(", ").filter(|name| *name != "nobody").map(str::to_owned).collect();
    let line = |line: &str| line.split_once(" asks ").map(|(service, names)| (service.to_owned(), asked(names)));
    String::from_utf8(told.stdout).unwrap().lines().filter_map(line).collect()
}

fn config(service: &str) -> toml::Table {
    read(&format!("config/{service}.toml")).parse().unwrap()
}

/// The port on which a service listens by its configuration.
fn port(service: &str) -> String {
    config(service)["listen"].as_str().unwrap().strip_prefix("0.0.0.0:").unwrap().to_owned()
}

/// What `jangbu` is told to serve it.
fn served(service: &str) -> String {
    let words = service.replacen('-', "\", \"--instance\", \"", 1);
    format!("[\"serve\", \"{words}\", \"--config\", \"/etc/jangbu/{service}.toml\"]")
}

#[test]
fn the_program_takes_the_configurations() {
    assert!(services().len() > 1);
    for (service, _) in services() {
        let config = path(&format!("config/{service}.toml")).display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
        command.args(["migrate", "--check", "--config", &config]).env("JANGBU_MYSQL_URL", "mysql://nobody@127.0.0.1:1");
        let output = command.output().unwrap();
        // It goes as far as the database, which isn't there.
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn all_files_name_the_same_services_and_ports() {
    let (nginx, compose, kubernetes) = (read("nginx.conf"), read("compose.yaml"), read("kubernetes/services.yaml"));
    let front = compose.lines().rfind(|line| line.starts_with("    depends_on: [")).unwrap();
    for (service, _) in services() {
        let (port, args) = (port(&service), served(&service));
        let replica = if service == "deposit-krw" { "deposit-krw-1" } else { &service };
        assert!(nginx.contains(&format!("server {replica}:{port}")), "nginx.conf: {service}");
        assert!(nginx.contains(&format!("location /{service}/")), "nginx.conf: {service}");
        assert!(compose.contains(&format!("\n  {replica}:")), "compose.yaml: {service}");
        assert!(compose.contains(&format!("command: {args}")), "compose.yaml: {service}");
        assert!(front.contains(replica), "compose.yaml: front waits for {service}");
        assert!(kubernetes.contains(&format!("args: {args}")), "services.yaml: {service}");
        assert!(
            kubernetes.contains(&format!("{{name: http, port: {port}, targetPort: http}}")),
            "services.yaml: {service}"
        );
        assert!(kubernetes.contains(&format!("containerPort: {port}}}")), "services.yaml: {service}");
    }
}

#[test]
fn each_service_is_told_where_those_are_whom_it_asks() {
    for (service, asks) in services() {
        let peers = config(&service).get("peers").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let told: Vec<(&str, &str)> = peers.iter().map(|(name, at)| (name.as_str(), at.as_str().unwrap())).collect();
        let at = |name: &String| (name.clone(), format!("http://{name}:{}", port(name)));
        let mut needed: Vec<(String, String)> = asks.iter().map(at).collect();
        needed.sort_unstable();
        assert_eq!(told, needed.iter().map(|(n, at)| (n.as_str(), at.as_str())).collect::<Vec<_>>(), "{service}.toml");
    }
}

#[test]
fn nginx_takes_its_file() {
    let home = tempfile::tempdir().unwrap();
    // Names that only the containers' network knows.
    let hosts =
        services().into_iter().map(|(service, _)| service).chain(["deposit-krw-1", "deposit-krw-2"].map(String::from));
    let text =
        hosts.fold(read("nginx.conf"), |text, host| text.replace(&format!("server {host}:"), "server 127.0.0.1:"));
    let file = home.path().join("nginx.conf");
    std::fs::write(&file, text.replace("/tmp/nginx", &home.path().join("nginx").display().to_string())).unwrap();
    if let Some(output) = ask("nginx", &["-t", "-c", &file.display().to_string()]) {
        assert_fine(&output);
    }
}

#[test]
fn compose_takes_its_file() {
    let plugin = Command::new("docker").args(["compose", "version"]).stderr(Stdio::null()).output();
    if !plugin.is_ok_and(|plugin| plugin.status.success()) {
        eprintln!("left out: docker has no compose here");
        return;
    }
    let file = path("compose.yaml").display().to_string();
    let mut command = Command::new("docker");
    command.args(["compose", "-f", &file, "config", "--quiet"]);
    let secrets = [("JANGBU_DATA_KEY", "0"), ("MYSQL_PASSWORD", "m"), ("REDIS_PASSWORD", "r")];
    assert_fine(&command.envs(secrets).output().unwrap());
}

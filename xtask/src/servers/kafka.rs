//! Kafka, one node that is broker and controller at once. Debian has no package of it, so its jars come by Maven.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use crate::packages;

/// Programs and the packages that bring them.
pub const WANTED: &[(&str, &str)] = &[("java", "default-jre-headless"), ("mvn", "maven")];

/// What Maven is asked for.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>jangbu</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>4.1.0</version>
    </dependency>
  </dependencies>
</project>
"#;

/// The name of the one-node cluster.
const CLUSTER: &str = "jangbu-development-000";

fn properties(dir: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
",
        dir.join("data").display()
    )
}

fn java(dir: &Path, class: &str) -> Result<Command, String> {
    let mut command = Command::new(packages::find("java").ok_or("java is not installed")?);
    command.args(["-Xmx512m", "-cp"]).arg(dir.join("libs/*")).arg(class).current_dir(dir);
    Ok(command)
}

/// Fetches the jars and lays the files of an empty server into `dir`, once, and tells how it is started.
///
/// # Errors
/// The jars can't be fetched, or the files can't be laid.
pub fn prepare(dir: &Path, port: u16) -> Result<Command, String> {
    let writing = |e: std::io::Error| format!("writing into {}: {e}", dir.display());
    if !dir.join("libs/done").is_file() {
        println!("Kafka's jars: fetched once, by Maven, into {}", dir.join("libs").display());
        fs::write(dir.join("pom.xml"), POM).map_err(writing)?;
        let mut maven = Command::new(packages::find("mvn").ok_or("mvn is not installed")?);
        maven.args(["-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory=libs"]).current_dir(dir);
        packages::run_quietly(&mut maven, &dir.join("maven.log"))?;
        fs::write(dir.join("libs/done"), "").map_err(writing)?;
    }
    let controller = super::free_port()?;
    let file = dir.join("server.properties");
    fs::write(&file, properties(dir, port, controller)).map_err(writing)?;
    if !dir.join("data/meta.properties").is_file() {
        let mut format = java(dir, "kafka.tools.StorageTool")?;
        format.args(["format", "-t", CLUSTER, "-c"]).arg(&file);
        packages::run_quietly(&mut format, &dir.join("format.log"))?;
    }
    let mut command = java(dir, "kafka.Kafka")?;
    command.arg(file);
    Ok(command)
}

/// Does it say which calls it knows? (Call 18 in its first version, with number 1 and an empty name.)
#[must_use]
pub fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 10];
    stream.set_read_timeout(Some(super::ANSWER_MAX)).is_ok()
        && stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0]).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer[4..] == [0, 0, 0, 1, 0, 0]
}

//! The manifests, held against the types of the Kubernetes API (`k8s-openapi`, which is made from the API's own description), and
//! what they say of each other.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::Value;

use super::read;
use super::typed::{documents, fits};

const FILES: [&str; 2] = ["migrate.yaml", "services.yaml"];

/// What the types leave open: words where the API takes a few, and the form of quantities.
fn word_fits(parent: &str, key: &str, value: &str) -> bool {
    match (parent, key) {
        (_, "restartPolicy") => ["Always", "OnFailure", "Never"].contains(&value),
        ("seccompProfile", "type") => ["RuntimeDefault", "Localhost"].contains(&value),
        ("requests" | "limits", _) => {
            let suffix = value.trim_start_matches(|c: char| c.is_ascii_digit());
            suffix.len() < value.len() && ["", "m", "Ki", "Mi", "Gi"].contains(&suffix)
        }
        _ => true,
    }
}

fn words_fit(parent: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| match value {
            Value::String(word) if !word_fits(parent, key, word) => Err(format!("{parent}/{key}: not {word:?}")),
            _ => words_fit(key, value),
        }),
        Value::Array(items) => items.iter().try_for_each(|item| words_fit(parent, item)),
        _ => Ok(()),
    }
}

fn manifest_fits(document: &Value) -> Result<(), String> {
    let told = |field: &str| document[field].as_str().unwrap_or_default();
    match (told("apiVersion"), told("kind")) {
        ("apps/v1", "Deployment") => fits::<Deployment>(document),
        ("batch/v1", "Job") => fits::<Job>(document),
        ("v1", "Service") => fits::<Service>(document),
        ("policy/v1", "PodDisruptionBudget") => fits::<PodDisruptionBudget>(document),
        (version, kind) => Err(format!("no type is named here for {kind:?} of {version:?}")),
    }?;
    words_fit("", document)
}

fn manifests_fit(text: &str) -> Result<(), String> {
    let documents = documents(text)?;
    let name = |document: &Value| format!("{} {}", document["kind"], document["metadata"]["name"]);
    documents
        .iter()
        .try_for_each(|document| manifest_fits(document).map_err(|why| format!("{}: {why}", name(document))))
}

#[test]
fn manifests_fit_the_types_of_the_api() {
    for file in FILES {
        assert_eq!(manifests_fit(&read(&format!("kubernetes/{file}"))), Ok(()), "{file}");
    }
}

#[test]
fn a_manifest_that_is_wrong_does_not_fit() {
    let text = read("kubernetes/services.yaml");
    let cases = [
        ("  replicas: 1\n", "  replica: 1\n", "/spec/replica: unknown"),
        ("  replicas: 1\n", "  replicas: one\n", "spec.replicas: invalid type"),
        ("  replicas: 1\n", "  replicas: 1\n  replicas: 2\n", "duplicate entry with key \"replicas\""),
        ("port: 8081, ", "", "/spec/ports/0/port: missing"),
        ("      containers:\n", "      container:\n", "/container: unknown"),
        ("apiVersion: apps/v1\n", "apiVersion: v1\n", "no type is named here"),
        ("            periodSeconds: 2\n", "            periodSecond: 2\n", "/periodSecond: unknown"),
        ("  strategy:\n    rollingUpdate:", "  rollingUpdate:\n   ", "/spec/rollingUpdate: unknown"),
        ("containerPort: 8081", "containerPort: \"8081\"", "containerPort: invalid type: string"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: yes", "invalid type: string \"yes\""),
        ("cpu: 250m", "cpu: 250 m", "requests/cpu: not"),
        ("type: RuntimeDefault", "type: Default", "seccompProfile/type: not"),
        ("drop: [ALL]", "drop: ALL", "drop: invalid type: string \"ALL\""),
        ("exec: {command: [\"sleep\", \"5\"]}", "exec: [\"sleep\", \"5\"]", "exec: invalid type: sequence"),
    ];
    for (right, wrong, why) in cases {
        assert!(text.contains(right), "{right}");
        let told = manifests_fit(&text.replacen(right, wrong, 1)).unwrap_err();
        assert!(told.contains(why), "{wrong}: {told}");
    }
}

/// Values of all fields of a name, wherever they stand.
fn all<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            found.extend((key == name).then_some(value));
            all(value, name, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| all(item, name, found)),
        _ => (),
    }
}

fn names<'a>(pod: &'a Value, lists: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    all(pod, lists, &mut found);
    found.into_iter().flat_map(|list| list.as_array().unwrap()).map(|item| &item["name"]).collect()
}

#[test]
fn manifests_refer_to_what_is_there() {
    let documents: Vec<Value> =
        FILES.iter().flat_map(|file| documents(&read(&format!("kubernetes/{file}"))).unwrap()).collect();
    let pods: Vec<&Value> = documents.iter().filter_map(|document| document["spec"].get("template")).collect();
    for pod in &pods {
        let volumes = names(&pod["spec"], "volumes");
        assert!(names(&pod["spec"], "volumeMounts").iter().all(|mount| volumes.contains(mount)), "{pod}");
        let (mut probed, ports) = (Vec::new(), names(&pod["spec"], "ports"));
        all(pod, "port", &mut probed);
        assert!(probed.iter().all(|port| ports.contains(port)), "{pod}");
    }
    for document in &documents {
        let selector = &document["spec"]["selector"];
        let Some(labels) = selector.get("matchLabels").or(selector.as_object().map(|_| selector)) else { continue };
        let met = pods.iter().filter(|pod| {
            let carried = &pod["metadata"]["labels"];
            labels.as_object().unwrap().iter().all(|(key, value)| carried.get(key) == Some(value))
        });
        let met: Vec<_> = met.collect();
        assert_eq!(met.len(), 1, "{labels} are the labels of one kind of pod");
        let mut targets = Vec::new();
        all(document, "targetPort", &mut targets);
        assert!(targets.iter().all(|port| names(&met[0]["spec"], "ports").contains(port)), "{document}");
    }
}

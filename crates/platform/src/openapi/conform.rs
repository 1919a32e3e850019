//! Holds documents and answers against each other: what a test asks of a document, and of an answer by it.

use std::collections::BTreeSet;

use serde_json::Value;

/// An API document, as served.
#[derive(Clone, Debug)]
pub struct Document(Value);

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map(Self).map_err(|e| e.to_string())
    }

    /// Every call: method in small letters, path, operation.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.0["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, item)| {
            let operations = super::METHODS.into_iter().filter_map(|m| item.get(m).map(|operation| (m, operation)));
            operations.map(move |(method, operation)| (method, path.as_str(), operation))
        })
    }

    /// What is wrong with the document itself: references that lead nowhere, calls without summary, answer or
    /// parameters of their path, ids twice, examples that don't fit their schema.
    #[must_use]
    pub fn flaws(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        self.references(&self.0, &mut flaws);
        let mut ids = BTreeSet::new();
        for (method, path, operation) in self.calls() {
            let mut flaw = |why: &str| flaws.push(format!("{method} {path}: {why}"));
            let id = operation["operationId"].as_str().unwrap_or("");
            if id.is_empty() || !ids.insert(id) {
                flaw("its id is missing or taken");
            }
            if operation["summary"].as_str().is_none_or(str::is_empty) {
                flaw("it has no summary");
            }
            let answers = operation["responses"].as_object().into_iter().flatten();
            if !answers.clone().any(|(status, _)| status.starts_with('2')) {
                flaw("it has no good answer");
            }
            for (status, answer) in answers.filter(|(status, _)| status.starts_with('2')) {
                if answer.get("content").is_none() && status != "204" {
                    flaw(&format!("its answer {status} says nothing of its body"));
                }
            }
            let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
            let named: BTreeSet<&str> =
                parameters.iter().filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str()).collect();
            let in_path: BTreeSet<&str> =
                path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).collect();
            if named != in_path {
                flaw("its parameters are not those of its path");
            }
        }
        self.examples(&self.0, "#", &mut flaws);
        flaws
    }

    /// What an answer has that the document doesn't allow, or lacks that it promises.
    #[must_use]
    pub fn answer_flaws(&self, method: &str, path: &str, status: u16, body: &Value) -> Vec<String> {
        let Some((.., operation)) = self.calls().find(|(m, p, _)| method.eq_ignore_ascii_case(m) && matches(p, path))
        else {
            return vec![format!("{method} {path} is not in the document")];
        };
        let responses = &operation["responses"];
        let class = format!("{}XX", status / 100);
        let response = responses.get(status.to_string()).or_else(|| responses.get(class));
        let Some(response) = response.map(|r| self.resolve(r)) else {
            return vec![format!("{method} {path} does not answer {status}")];
        };
        let mut flaws = Vec::new();
        for content in response["content"].as_object().into_iter().flat_map(|c| c.values()) {
            self.check(&content["schema"], body, "", &mut flaws);
        }
        flaws
    }

    fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        while let Some(target) = value.get("$ref").and_then(Value::as_str) {
            value = self.0.pointer(target.trim_start_matches('#')).unwrap_or(&Value::Null);
        }
        value
    }

    fn references(&self, value: &Value, flaws: &mut Vec<String>) {
        if let Some(target) = value.get("$ref").and_then(Value::as_str)
            && self.0.pointer(target.trim_start_matches('#')).is_none()
        {
            flaws.push(format!("{target} leads nowhere"));
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.references(item, flaws)),
            Value::Object(fields) => fields.values().for_each(|field| self.references(field, flaws)),
            _ => {}
        }
    }

    /// Looks at `example` and `examples` beside schemas, wherever they stand.
    fn examples(&self, value: &Value, at: &str, flaws: &mut Vec<String>) {
        if let Value::Array(items) = value {
            items.iter().enumerate().for_each(|(i, item)| self.examples(item, &format!("{at}/{i}"), flaws));
        }
        let Some(fields) = value.as_object() else { return };
        let schema = fields.get("schema").unwrap_or(value);
        let listed = fields.get("examples").and_then(Value::as_array).into_iter().flatten();
        let named = fields.get("examples").and_then(Value::as_object).into_iter().flatten();
        let named = named.filter_map(|(_, example)| example.get("value"));
        for example in fields.get("example").into_iter().chain(listed).chain(named) {
            self.check(schema, example, at, flaws);
        }
        for (name, field) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "example" | "examples")) {
            self.examples(field, &format!("{at}/{name}"), flaws);
        }
    }

    /// Whether a value fits a schema, as far as schemas of ours go: types, fields, lists, choices, bounds.
    fn check(&self, schema: &Value, value: &Value, at: &str, flaws: &mut Vec<String>) {
        let schema = self.resolve(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.check(part, value, at, flaws);
        }
        for choices in ["oneOf", "anyOf"].iter().filter_map(|name| schema[name].as_array()) {
            let fits = |choice: &&Value| {
                let mut flaws = Vec::new();
                self.check(choice, value, at, &mut flaws);
                flaws.is_empty()
            };
            if !choices.iter().any(|choice| fits(&choice)) {
                flaws.push(format!("{at}: {value} is none of the choices"));
            }
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            many => many.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        };
        if !types.is_empty() && !types.iter().any(|wanted| is_type(wanted, value)) {
            flaws.push(format!("{at}: {value} is not {}", types.join(" or ")));
        }
        if schema["enum"].as_array().is_some_and(|choices| !choices.contains(value)) {
            flaws.push(format!("{at}: {value} is not one of {}", schema["enum"]));
        }
        let bound = |name: &str| schema[name].as_i64().zip(value.as_i64());
        if bound("minimum").is_some_and(|(min, n)| n < min) || bound("maximum").is_some_and(|(max, n)| n > max) {
            flaws.push(format!("{at}: {value} is out of bounds"));
        }
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            if let Some(wanted) = schema.get("items") {
                self.check(wanted, item, &format!("{at}[{i}]"), flaws);
            }
        }
        self.check_fields(schema, value, at, flaws);
    }

    fn check_fields(&self, schema: &Value, value: &Value, at: &str, flaws: &mut Vec<String>) {
        let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) else { return };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                flaws.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            match known.get(name) {
                Some(wanted) => self.check(wanted, field, &format!("{at}.{name}"), flaws),
                None if schema["additionalProperties"] == false => flaws.push(format!("{at}: {name} is not known")),
                None => {}
            }
        }
    }
}

fn is_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    }
}

/// Whether a path is one of a template's, like `/things/{id}`.
fn matches(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or("");
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(w), Some(g)) if w == g || (w.starts_with('{') && !g.is_empty()) => {}
            _ => return false,
        }
    }
}

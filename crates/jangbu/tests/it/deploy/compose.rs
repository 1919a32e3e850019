//! The Compose file, held against the types of the Compose specification (`docker-compose-types`), and what its services say of
//! each other.

use docker_compose_types::Compose;
use serde_json::{Map, Value};

use super::read;
use super::typed::{documents, fits};

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// The names in a list, or the keys of a map.
fn names(value: &Value) -> Vec<String> {
    let listed = value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    listed.chain(object(value).into_iter().map(|(key, _)| key)).collect()
}

fn time(text: &str) -> bool {
    text.strip_suffix(['s', 'm', 'h']).is_some_and(|number| number.parse::<u32>().is_ok())
}

/// What the types leave open: words where few are taken, times, and names of what has to be there.
fn service_fits(service: &Value, compose: &Value) -> Result<(), String> {
    let text = |field: &str| service[field].as_str().unwrap_or_default();
    if !["", "no", "always", "on-failure", "unless-stopped"].contains(&text("restart")) {
        return Err(format!("restart: not {:?}", text("restart")));
    }
    let health = &service["healthcheck"];
    let times = ["interval", "timeout", "start_period"].into_iter().filter_map(|field| health.get(field));
    let mut times = times.chain(service.get("stop_grace_period")).filter_map(Value::as_str);
    if let Some(wrong) = times.find(|text| !time(text)) {
        return Err(format!("{wrong:?} is no time"));
    }
    for name in names(&service["depends_on"]) {
        let on = &compose["services"][&name];
        let there = match service["depends_on"][&name]["condition"].as_str() {
            None | Some("service_started") => !on.is_null(),
            Some("service_healthy") => !on["healthcheck"].is_null(),
            Some("service_completed_successfully") => on["restart"] == "no",
            Some(_) => false,
        };
        if !there {
            return Err(format!("depends_on/{name}: {}", service["depends_on"]));
        }
    }
    let volumes = names(&service["volumes"]);
    let mut sources = volumes.iter().filter_map(|volume| volume.split(':').next());
    let missing = sources.find(|source| !source.starts_with(['.', '/']) && compose["volumes"].get(*source).is_none());
    missing.map_or(Ok(()), |source| Err(format!("volumes/{source}: not there")))
}

fn compose_fits(text: &str) -> Result<(), String> {
    let [compose] = documents(text)?.try_into().map_err(|all| format!("not one document: {all:?}"))?;
    fits::<Compose>(&compose)?;
    let services = object(&compose["services"]);
    services
        .iter()
        .try_for_each(|(name, service)| service_fits(service, &compose).map_err(|why| format!("services/{name}/{why}")))
}

#[test]
fn the_file_fits_the_types_of_the_specification() {
    assert_eq!(compose_fits(&read("compose.yaml")), Ok(()));
}

#[test]
fn a_file_that_is_wrong_does_not_fit() {
    let text = read("compose.yaml");
    let cases = [
        ("    healthcheck:\n", "    healthchecks:\n", "unknown"),
        ("      retries: 60\n", "      retry: 60\n", "unknown field `retry`"),
        ("      retries: 60\n", "      retries: often\n", "invalid type: string \"often\""),
        ("\nvolumes:\n", "\nvolume:\n", "extensions must start with 'x-'"),
        ("    image: mariadb:10.11\n", "    image: [mariadb]\n", "invalid type: sequence"),
        ("    restart: on-failure\n\nvolumes", "    restart: never\n\nvolumes", "restart: not \"never\""),
        ("      interval: 2s\n", "      interval: 2 s\n", "is no time"),
        ("    condition: service_healthy\n", "    condition: healthy\n", "depends_on/"),
        ("    depends_on: [customer, ", "    depends_on: [customers, ", "depends_on/customers"),
        ("    - bank:/var", "    - banks:/var", "volumes/banks: not there"),
        ("        aliases: [deposit-krw]\n", "        alias: [deposit-krw]\n", "services"),
        ("  redis:\n    image", "  kafka:\n    image", "duplicate entry with key \"kafka\""),
    ];
    for (right, wrong, why) in cases {
        assert!(text.contains(right), "{right}");
        let told = compose_fits(&text.replacen(right, wrong, 1)).unwrap_err();
        assert!(told.contains(why), "{wrong}: {told}");
    }
}

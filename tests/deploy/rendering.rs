//! What the chart renders: the same as ever, accepted by Helm's linter and by the
//! API server's schemas; and what it refuses.

use crate::chart::{Rendered, ask, case, cases, chart, held, render, rendered, root, try_render};
use crate::support::stack::envoy_binary;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

#[test]
fn each_combination_renders_as_it_did() {
    assert!(rendered().len() >= 12, "{} cases", rendered().len());
    for (name, rendered) in rendered() {
        let golden = root().join(format!("tests/golden/chart/{name}.yaml"));
        held(&golden, &rendered.text);
        let golden = root().join(format!("tests/golden/chart/{name}.txt"));
        held(&golden, &format!("{}\n", rendered.notes.trim()));
    }
}

#[test]
fn helm_lints_each_strictly() {
    let mut cases = cases();
    cases.insert("as it comes".to_owned(), "{}".to_owned());
    let count = cases.len();
    let reports = ask("lint", json!({ "cases": cases }));
    let reports = reports.as_object().unwrap();
    assert_eq!(reports.len(), count);
    for (name, found) in reports {
        assert_eq!(*found, json!([]), "{name}");
    }
}

/// Built-in kinds; of those that others define, see below.
#[test]
fn the_api_server_would_take_each_object() {
    let all = rendered().values();
    let objects: Vec<_> = all
        .flat_map(|rendered| rendered.objects.iter().chain(&rendered.hooks))
        .collect();
    let versions = ["1.32.0", "1.34.0", "1.37.0"];
    let request = json!({ "objects": objects, "kubernetes": versions });
    let answer = ask("validate", request);
    assert_eq!(answer["found"], json!([]));
    let checked = answer["checked"].as_u64().unwrap();
    assert!(checked > 200, "{checked}");
}

/// Custom kinds by their definitions and CEL rules, and what EnvoyFilters hold by
/// Envoy: by a checker and definitions beside the project. Where they are said to be
/// (`WEIR_MANIFEST_CHECKER`), they must be.
#[test]
fn their_definitions_take_each_custom_object() {
    let beside = root().join("../shared/tools/check_manifests.py");
    let checker = match std::env::var_os("WEIR_MANIFEST_CHECKER") {
        Some(path) => root().join(path),
        None if beside.is_file() => beside,
        None => return eprintln!("no checker of manifests here: custom kinds aren't checked"),
    };
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, rendered) in rendered() {
        let path = dir.path().join(format!("{name}.yaml"));
        fs::write(&path, &rendered.text).unwrap();
        files.push(path);
    }
    files.extend(crate::kustomize::built(dir.path()));
    let examples = fs::read_dir(root().join("k8s/examples")).unwrap();
    files.extend(examples.map(|file| file.unwrap().path()));
    let output = Command::new(root().join("target/venv/bin/python3"))
        .arg(checker)
        .arg("--envoy")
        .arg(envoy_binary())
        .args(&files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let passed = said.lines().last().unwrap().split(' ').next().unwrap();
    assert!(passed.parse::<usize>().unwrap() > 100, "{said}");
}

/// Each with the place and what would be right.
#[test]
fn wrong_values_are_refused_with_their_place() {
    let table = [
        ("mode: sidcar", "at '/mode': value must be one of"),
        ("replcas: 2", "additional properties 'replcas' not allowed"),
        ("replicas: two", "at '/replicas': got string, want integer"),
        ("replicas: 0", "at '/replicas': minimum: got 0, want 1"),
        (
            "attach: { istio: { context: gate } }",
            "at '/attach/istio/context'",
        ),
        (
            "attach: { istio: { targetRefs: [ { kind: Gateway } ] } }",
            "at '/attach/istio/targetRefs/0': missing property 'name'",
        ),
        (
            "attach: { messageTimeout: 1 }",
            "at '/attach/messageTimeout': got number, want string",
        ),
        (
            "attach: { messageTimeout: 500ms }",
            "at '/attach/messageTimeout': '500ms' does not match pattern",
        ),
        (
            "config: { plans: { team: { limits: [ { per: tenant, unit: tokns, amount: 5, every: 1m } ] } } }",
            "at '/config/plans/team/limits/0/unit'",
        ),
        (
            "config: { plan: {} }",
            "at '/config': additional properties 'plan' not allowed",
        ),
        (
            "config: { server: { drain: 3s } }",
            "at '/config/server': additional properties 'drain' not allowed",
        ),
        ("spool: { size: lots }", "at '/spool/size'"),
        ("image: { digest: latest }", "at '/image/digest'"),
        (
            "gateway: { providers: [ { name: a } ] }",
            "at '/gateway/providers/0': missing property 'host'",
        ),
        (
            "attach: { istio: { routes: { exclude: [ { name: health } ] } } }",
            "at '/attach/istio/routes/exclude/0': missing property 'vhost'",
        ),
        (
            "attach: { istio: { credentials: [ { name: llm, secret: a, key: b } ] } }",
            "at '/attach/istio/credentials/0': missing property 'vhost'",
        ),
        (
            "attach: { istio: { targetRefs: [ { name: \"a } ], x: [ \" } ] } }",
            "at '/attach/istio/targetRefs/0/name'",
        ),
        (
            "gateway: { providers: [ { name: a, host: a, credential: { header: 'x y', secret: a, key: b } } ] }",
            "at '/gateway/providers/0/credential/header'",
        ),
        ("tls: { existingSecret: Weir }", "at '/tls/existingSecret'"),
        (
            "monitoring: { podMonitor: { enabled: 'yes' } }",
            "at '/monitoring/podMonitor/enabled': got string, want boolean",
        ),
    ];
    for (values, expected) in table {
        let error = try_render(values).expect_err(values);
        assert!(error.contains(expected), "{values}:\n{error}");
    }
}

/// What is well formed and would not work.
#[test]
fn values_that_would_not_work_are_refused_with_what_would() {
    let minimal = case("minimal");
    let table = [
        ("{}", "existingSecret: name a Secret with the key pepper"),
        (
            "existingSecret: weir",
            "config.models: needs at least one; `weir config example team`",
        ),
        (
            "replicas: 2",
            "config.counters.redis: several weirs need a Redis",
        ),
        ("mode: daemonset", "config.counters.redis"),
        (
            "replicas: 2\nredis: { enabled: true }",
            "redis.existingSecret: name the same Secret as existingSecret, with the key redis-password",
        ),
        (
            "replicas: 2\nredis: { enabled: true, existingSecret: weir }",
            "config.ledger.postgres: several weirs need a PostgreSQL",
        ),
        (
            "terminationGracePeriodSeconds: 30",
            "terminationGracePeriodSeconds: 30 is less than preStopSeconds, shutdown_delay, the drain and settling need together: at least 645, or 0",
        ),
        (
            "mode: daemonset\nallowUnshared: true\nspool: { type: persistentVolumeClaim }",
            "spool.type: a DaemonSet has no claims of its own",
        ),
        (
            "mode: daemonset\nallowUnshared: true\nspool: { type: hostPath }\nautoscaling: { enabled: true }",
            "autoscaling.enabled: only in mode deployment",
        ),
        (
            "mode: sidecar",
            "gateway.providers: where the chart's own Envoy sends calls",
        ),
        (
            "attach: { type: istio }",
            "attach.istio: name targetRefs or a workloadSelector",
        ),
        (
            "attach: { type: istio, istio: { targetRefs: [ { name: a } ], workloadSelector: { app: a } } }",
            "attach.istio: targetRefs or workloadSelector, not both",
        ),
        (
            "attach: { type: istio, istio: { targetRefs: [ { name: a } ], routes: { optIn: true } } }",
            "attach.istio.routes.include: with optIn no route would pass weir",
        ),
        (
            "config: { listen: { grpc: \"0.0.0.0:6000\" } }",
            "config.listen.grpc: the chart says where weir listens",
        ),
        (
            "config: { counters: { redis: { url: \"redis://:hunter2@redis:6379\" } } }",
            "config.counters.redis: a password would stand in a ConfigMap",
        ),
        (
            "extraConfigFiles: { weir.yaml: a }",
            "extraConfigFiles: weir.yaml is what config says",
        ),
        (
            "podLabels: { app.kubernetes.io/name: a }",
            "podLabels: app.kubernetes.io/name is what the chart finds its pods by",
        ),
        (
            "attach: { messageTimeout: 40s }",
            "attach.maxMessageTimeout: is less than messageTimeout",
        ),
        (
            "allowUnshared: true\nautoscaling: { enabled: true, minReplicas: 5, maxReplicas: 2 }",
            "autoscaling.maxReplicas: is less than minReplicas",
        ),
        (
            "spool: { type: hostPath }",
            "spool.type: hostPath is for mode daemonset",
        ),
        (
            "networkPolicy: { enabled: true }",
            "networkPolicy.gateways: name who may reach the gRPC port",
        ),
        (
            "mode: sidecar\nallowUnshared: true\nnetworkPolicy: { enabled: true }\nattach: { type: istio, istio: { targetRefs: [ { name: a } ] } }",
            "networkPolicy.enabled: the pods are the gateway's",
        ),
        (
            "service: { type: LoadBalancer }",
            "service.type: who reaches the gRPC port can speak as Envoy",
        ),
        (
            "mode: sidecar\nallowUnshared: true\nattach: { type: istio, istio: { targetRefs: [ { name: a } ], namespace: elsewhere } }",
            "attach.istio.namespace: in mode sidecar the release's own",
        ),
        (
            "attach: { type: istio, istio: { context: sidecarOutbound, workloadSelector: { app: a }, authorization: { enabled: true } } }",
            "attach.istio.authorization.enabled: Istio judges what comes in alone",
        ),
        (
            "attach: { type: envoyGateway, envoyGateway: { targetRefs: [ { name: a } ] } }\ntls: { existingSecret: a }",
            "tls.clientSecret: name the certificate that gateways show",
        ),
        (
            "mode: sidecar\ngateway: { providers: [ { name: weir, host: a } ] }",
            "gateway.providers: there is a cluster of the name weir already",
        ),
        (
            "mode: sidecar\ngateway: { port: 9090, providers: [ { name: a, host: a } ] }",
            "gateway.port: weir or Envoy's own pages are there",
        ),
        (
            "mode: sidecar\nallowUnshared: true\nattach: { type: istio, istio: { targetRefs: [ { name: a } ], authorization: { enabled: true } } }",
            "attach.istio.authorization.enabled: in mode sidecar there is no service",
        ),
        (
            "mode: sidecar\ntls: { existingSecret: a }",
            "tls.existingSecret: in mode sidecar gateways use a Unix socket",
        ),
        (
            "attach: { type: istio, istio: { targetRefs: [ { name: a } ] } }\ntls: { existingSecret: a }",
            "tls.existingSecret: in a mesh leave TLS to Istio",
        ),
        (
            "attach: { type: envoyGateway }",
            "attach.envoyGateway.targetRefs: name HTTPRoutes or Gateways",
        ),
        (
            "attach: { type: envoyGateway, profile: split, envoyGateway: { targetRefs: [ { name: a } ] } }",
            "attach.profile: split needs attach.envoyGateway.patch.enabled",
        ),
        (
            "attach: { type: envoyGateway, envoyGateway: { targetRefs: [ { name: a } ], patch: { enabled: true } } }",
            "attach.envoyGateway.patch.listeners: name the listeners",
        ),
        (
            "mode: sidecar\nallowUnshared: true\nattach: { type: envoyGateway, envoyGateway: { targetRefs: [ { name: a } ] } }",
            "attach.envoyGateway.envoyProxy.enabled: in mode sidecar it is what puts weir into the gateway's pods",
        ),
    ];
    for (index, (more, expected)) in table.into_iter().enumerate() {
        // The first two have nothing else.
        let values = match index {
            0 | 1 => more.to_owned(),
            // Of two `config` in one file only one would count.
            // A gateway's pods have no claims.
            _ if more.contains("mode: sidecar") && !more.contains("spool:") => joined(
                &minimal,
                &format!("{more}\nspool: {{ type: emptyDir }}\nallowEphemeralLedger: true"),
            ),
            _ => joined(&minimal, more),
        };
        let error = try_render(&values).expect_err(more);
        assert!(error.contains(expected), "{more}:\n{error}");
    }
    let spelt = format!("{}  server: {{ drain_timeout: 2500ms }}\n", minimal);
    let error = try_render(&spelt).unwrap_err();
    assert!(
        error.contains("config.server.drain_timeout: write it in whole seconds"),
        "{error}"
    );
}

/// Values on top of others: of two fields of one name in a file only one would count.
fn joined(values: &str, more: &str) -> String {
    let mut joined = values.to_owned();
    for line in more.lines() {
        if let Some(fields) = line.strip_prefix("config: { ") {
            joined.push_str(&format!("  {}\n", fields.strip_suffix(" }").unwrap()));
        }
    }
    for line in more.lines().filter(|line| !line.starts_with("config:")) {
        let field = line.split(':').next().unwrap();
        let other = |held: &&str| held.split(':').next() != Some(field);
        let kept: Vec<&str> = joined.lines().filter(other).collect();
        joined = format!("{}\n{line}\n", kept.join("\n"));
    }
    joined
}

/// Hot reload would be for nothing if each change replaced the pods; and a change
/// that counts only at a start would be for nothing if none did.
#[test]
fn only_what_takes_effect_at_a_start_replaces_pods() {
    let values = case("minimal");
    let checksum = |rendered: &Rendered| {
        let workload = rendered.get("StatefulSet", "weir");
        let checksum = &workload["spec"]["template"]["metadata"]["annotations"]["checksum/restart"];
        checksum.as_str().unwrap().to_owned()
    };
    let before = render(&values);
    let taken = [
        "tenants: { acme: { plan: team }, globex: { plan: team } }",
        "listen: { admin_token: { file: /etc/weir/secrets/admin-token } }",
        "telemetry: { log: { level: debug } }",
        "identity: { default_plan: team }",
        "routes: [ { path: /a, dialect: openai } ]",
        "conditions: { headers: [ x-team ] }",
    ];
    let kept = [
        "listen: { allow_remote: false }",
        "counters: { redis: { url: \"redis://a:6379\" } }",
        "ledger: { durability: relaxed }",
        "alerts: { webhooks: [ { name: ops, form: json, url: \"https://a.example\", secret: { file: a } } ] }",
        "holds: { ttl: 90s }",
        "identity: { stale_max: 1h }",
        "identity: { trust_ext_authz: false }",
        "server: { workers: 2 }",
        "telemetry: { log: { format: human } }",
        "telemetry: { otlp: { endpoint: \"http://a:4317\" } }",
        "tokens: { learned_path: /var/lib/weir/learned }",
    ];
    let fields = taken.iter().map(|field| (field, true));
    for (field, same) in fields.chain(kept.iter().map(|field| (field, false))) {
        let values = match field.starts_with("tenants") {
            true => values.replace("tenants: { acme: { plan: team } }", field),
            false => format!("{values}  {field}\n"),
        };
        let after = render(&values);
        assert_ne!(after.weir_yaml(), before.weir_yaml(), "{field}");
        assert_eq!(checksum(&after) == checksum(&before), same, "{field}");
    }
    // Every path that a running weir keeps is among them.
    for path in weir::config::fixed::KEPT {
        let section = path.split('.').next().unwrap();
        assert!(
            kept.iter().any(|field| field.starts_with(section)),
            "{path}"
        );
    }
}

/// weir itself takes every file that the chart writes.
#[test]
fn weir_reads_each_configuration() {
    for (name, rendered) in rendered() {
        let dir = tempfile::tempdir().unwrap();
        let text = crate::rig::local(&rendered.weir_yaml(), dir.path());
        let path = dir.path().join("weir.yaml");
        fs::write(&path, text).unwrap();
        let output = Command::new(crate::support::stack::weir_binary())
            .args(["check", "--config"])
            .arg(&path)
            .env("WEIR_POSTGRES_URL", "postgres://weir@127.0.0.1/weir")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}{told}");
    }
}

/// Nothing that the pods may do is left open.
#[test]
fn every_container_is_locked_down() {
    let mut seen = 0;
    for (name, rendered) in rendered() {
        for (place, container) in containers(rendered) {
            if !["weir", "envoy", "check", "health"].contains(&container["name"].as_str().unwrap())
            {
                continue;
            }
            seen += 1;
            let security = &container["securityContext"];
            let expected = json!({
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
            });
            assert_eq!(security, &expected, "{name}: {place}");
            assert!(
                container["resources"]["limits"]["memory"].is_string(),
                "{name}: {place}"
            );
        }
        for object in &rendered.objects {
            if object["kind"] == "ServiceAccount" {
                assert_eq!(object["automountServiceAccountToken"], false, "{name}");
            }
            let pod = &object["spec"]["template"]["spec"];
            if pod.is_object() {
                assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            }
        }
    }
    assert!(seen >= 30, "{seen} containers");
}

/// The longest call ends in time, and gateways know before it that none more comes.
#[test]
fn pods_have_the_time_that_the_longest_call_takes() {
    for (name, rendered) in rendered() {
        let config = crate::rig::yaml(&rendered.weir_yaml());
        let server = &config["server"];
        let delay = server["shutdown_delay"].as_str().unwrap_or("0s");
        let delay: u64 = delay.strip_suffix('s').unwrap().parse().unwrap();
        let drain = server["drain_timeout"].as_str().unwrap();
        let drain = match drain.strip_suffix('m') {
            Some(minutes) => minutes.parse::<u64>().unwrap() * 60,
            None => drain.strip_suffix('s').unwrap().parse().unwrap(),
        };
        assert!(drain > 600, "{name}: {drain}");
        for object in &rendered.objects {
            let pod = &object["spec"]["template"]["spec"];
            let Some(grace) = pod["terminationGracePeriodSeconds"].as_u64() else {
                continue;
            };
            assert!(grace >= 15 + delay + drain + 13, "{name}: {grace}");
            let first = match pod["initContainers"].as_array() {
                // A native sidecar ends after its gateway: that is who waits.
                Some(_) => &pod["containers"][0]["lifecycle"]["preStop"]["exec"],
                None => &pod["containers"][0]["lifecycle"]["preStop"]["sleep"],
            };
            assert!(first.is_object(), "{name}: {pod}");
        }
    }
}

/// Names of releases that are no names of services, long ones, and those of digits.
#[test]
fn names_fit_whatever_the_release_is_called() {
    let mut values = case("everything");
    values.push_str("\ncommonLabels: {}\n");
    let values = values.replacen("commonLabels: { cost-center: '42' }\n", "", 1);
    let long = "a".repeat(53);
    for release in ["my.weir", "1weir", "123", long.as_str()] {
        let request = json!({ "values": values, "release": release });
        let answer = ask("render", request);
        assert!(answer["error"].is_null(), "{release}: {answer}");
        let objects = answer["objects"].as_array().unwrap();
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap();
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            let plain = name.bytes().all(is_plain) && name.as_bytes()[0].is_ascii_lowercase();
            let is_server = object["kind"] == "Service" || object["kind"] == "StatefulSet";
            if is_server && !name.ends_with("-redis") && !name.ends_with("-postgresql") {
                assert!(plain, "{release}: {name}");
            }
            if is_server {
                assert!(name.len() <= 52 && name.is_ascii(), "{release}: {name}");
            }
        }
        let checked = json!({ "objects": objects, "kubernetes": ["1.34.0"] });
        assert_eq!(ask("validate", checked)["found"], json!([]), "{release}");
    }
}

/// A Gateway's parameters may have these keys alone; Istio refuses all with another.
#[test]
fn a_gateways_parameters_are_what_istio_takes() {
    let mut seen = 0;
    for (name, rendered) in rendered() {
        if let Some(parameters) = rendered.find("ConfigMap", "weir-gateway") {
            let keys: Vec<_> = parameters["data"].as_object().unwrap().keys().collect();
            assert_eq!(keys, ["deployment"], "{name}");
            assert!(rendered.notes.contains("weir-gateway"), "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}

/// Else calls would be sent to whatever else runs beside weir.
#[test]
fn a_service_finds_weirs_pods_alone() {
    let mut services = 0;
    for (name, rendered) in rendered() {
        let all: Vec<_> = rendered.objects.iter().chain(&rendered.hooks).collect();
        let pods = all
            .iter()
            .filter_map(|object| match object["kind"].as_str() {
                Some("Pod") => Some((object, &object["metadata"]["labels"])),
                _ => {
                    let labels = object.pointer("/spec/template/metadata/labels")?;
                    Some((object, labels))
                }
            });
        let pods: Vec<_> = pods.collect();
        for service in all.iter().filter(|object| object["kind"] == "Service") {
            let selector = service["spec"]["selector"].as_object().unwrap();
            let found = pods.iter().filter(|(_, labels)| {
                selector
                    .iter()
                    .all(|(label, value)| labels[label] == *value)
            });
            let found: Vec<_> = found
                .map(|(object, _)| &object["metadata"]["name"])
                .collect();
            let own = service["metadata"]["name"]
                .as_str()
                .unwrap()
                .trim_end_matches("-pods")
                .trim_end_matches("-admin");
            assert_eq!(found, [own], "{name}");
            services += 1;
        }
    }
    assert!(services >= 12, "{services}");
}

/// All containers, wherever an object holds them: name of the object, container.
fn containers(rendered: &Rendered) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for object in rendered.objects.iter().chain(&rendered.hooks) {
        let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        gather(object, &name, &mut found);
        if let Some(text) = object["data"]["deployment"].as_str() {
            gather(&crate::rig::yaml(text), &name, &mut found);
        }
    }
    found
}

fn gather(value: &Value, name: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            for (field, inner) in fields {
                if let (true, Some(list)) = (
                    field == "containers" || field == "initContainers",
                    inner.as_array(),
                ) {
                    let whole = list.iter().filter(|one| one["image"].is_string());
                    found.extend(whole.map(|one| (name.to_owned(), one.clone())));
                }
                gather(inner, name, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| gather(inner, name, found)),
        _ => {}
    }
}

/// `values.schema.json` knows of `weir.yaml` what weir does.
#[test]
fn the_schema_is_weirs_own() {
    let path = chart().join("values.schema.json");
    let mut schema: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let own = weir::config::reference::schema::schema();
    let mut definitions = own["$defs"].clone();
    // The chart sets these where they are left out.
    for section in ["listen", "identity"] {
        definitions[section]
            .as_object_mut()
            .unwrap()
            .remove("required");
    }
    definitions["weir_yaml"] = json!({
        "description": "What weir.yaml says: see `weir config reference`",
        "type": "object",
        "properties": own["properties"],
        "additionalProperties": false,
    });
    schema["$defs"] = definitions;
    held(
        &path,
        &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()),
    );
}

//! Istio's way: what its pilot would make of the rendered EnvoyFilter,
//! DestinationRule, AuthorizationPolicy and Telemetry, run.

use crate::chart::{Rendered, case, render};
use crate::rig::{self, Places, Rig, WEIR_HOST, bootstrap, merge, provider_cluster, yaml};
use serde_json::{Value, json};
use weir::exchange::event::{Known, Outcome};

const HCM: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// An HCM as pilot makes it, with the routes that the cases speak of.
fn manager(access_log: Option<&Value>) -> Value {
    let route = |name: &str, prefix: &str| json!({ "name": name, "match": { "prefix": prefix }, "route": { "cluster": "provider", "timeout": "600s" } });
    let routes = [
        route("health", "/health/"),
        route("embeddings", "/embeddings/"),
        route("barred", "/barred/"),
        route("llm", "/"),
    ];
    let others = [route("health", "/health/"), route("other", "/")];
    let mut manager = json!({
        "@type": HCM,
        "stat_prefix": "front",
        "use_remote_address": true,
        "route_config": { "name": "http.8443", "virtual_hosts": [
            { "name": "llm.example.com:443", "domains": ["llm.example.com"], "routes": routes },
            { "name": "other.example.com:443", "domains": ["*"], "routes": others },
        ] },
        "http_filters": [
            { "name": "envoy.filters.http.router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } },
        ],
    });
    if let Some(labels) = access_log {
        manager["access_log"] = json!([ { "name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": { "json_format": labels, "omit_empty_values": true },
        } } ]);
    }
    manager
}

/// The cluster that pilot makes of the chart's Service, with its DestinationRule.
fn service_cluster(rendered: &Rendered, places: &Places) -> Value {
    let service = rendered.get("Service", "weir");
    let port = service["spec"]["ports"].as_array().unwrap();
    let port = port.iter().find(|port| port["port"] == 50051).unwrap();
    // By this alone pilot knows that it is HTTP/2.
    assert_eq!(port["appProtocol"], "grpc");
    let rule = rendered.get("DestinationRule", "weir");
    assert_eq!(rule["spec"]["host"], WEIR_HOST);
    let requests = &rule["spec"]["trafficPolicy"]["connectionPool"]["http"]["http2MaxRequests"];
    let name = format!("outbound|50051||{WEIR_HOST}");
    let mut cluster = provider_cluster(&name, rig::loopback(places.grpc));
    cluster["circuit_breakers"] = json!({ "thresholds": [ { "max_requests": requests } ] });
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    cluster
}

/// A provider of the mesh, as the chart's fragment of Istio's values has it.
fn mesh_provider(rendered: &Rendered, name: &Value) -> Value {
    let mesh = yaml(&rendered.data("weir-mesh", "mesh.yaml"));
    let providers = mesh["meshConfig"]["extensionProviders"].as_array().unwrap();
    let provider = providers.iter().find(|provider| provider["name"] == *name);
    provider.unwrap_or_else(|| panic!("no {name}")).clone()
}

/// The ext_authz filter that pilot makes of a CUSTOM policy.
fn authorization(rendered: &Rendered, policy: &Value) -> Value {
    assert_eq!(policy["spec"]["action"], "CUSTOM");
    let provider = mesh_provider(rendered, &policy["spec"]["provider"]["name"]);
    let grpc = &provider["envoyExtAuthzGrpc"];
    assert_eq!(grpc["service"], WEIR_HOST);
    let status: u16 = grpc["statusOnError"].as_str().unwrap().parse().unwrap();
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "grpc_service": {
                "envoy_grpc": { "cluster_name": format!("outbound|{}||{WEIR_HOST}", grpc["port"]), "authority": WEIR_HOST },
                "timeout": grpc["timeout"],
            },
            "failure_mode_allow": grpc["failOpen"],
            "status_on_error": { "code": status },
        },
    })
}

/// What pilot makes of all of it.
fn pilot(rendered: &Rendered, context: &str, places: &Places) -> Value {
    let telemetry = rendered.find("Telemetry", "weir");
    let log = telemetry.map(|telemetry| {
        let name = &telemetry["spec"]["accessLogging"][0]["providers"][0]["name"];
        mesh_provider(rendered, name)["envoyFileAccessLog"]["logFormat"]["labels"].clone()
    });
    let mut manager = manager(log.as_ref());
    if let Some(policy) = rendered.find("AuthorizationPolicy", "weir") {
        let filters = manager["http_filters"].as_array_mut().unwrap();
        filters.insert(0, authorization(rendered, policy));
    }
    let mut clusters = vec![provider_cluster("provider", places.provider)];
    if rendered.find("Service", "weir").is_some() {
        clusters.push(service_cluster(rendered, places));
    }
    let mut listener = json!({});
    let filter = rendered.get("EnvoyFilter", "weir");
    let annotation = &filter["metadata"]["annotations"]["envoyfilter.istio.io/referenced-services"];
    match rendered.find("Service", "weir") {
        // Proxies that aren't told of every service are told of this one.
        Some(_) => assert_eq!(annotation, WEIR_HOST),
        None => assert!(annotation.is_null()),
    }
    for patch in filter["spec"]["configPatches"].as_array().unwrap() {
        assert_eq!(patch["match"]["context"], context);
        let (matched, value) = (&patch["match"], &patch["patch"]["value"]);
        let operation = patch["patch"]["operation"].as_str().unwrap();
        // What Istio's own patches of waypoints can't be for.
        let apply_to = patch["applyTo"].as_str().unwrap();
        assert_eq!(matched["waypoint"].is_object(), context == "WAYPOINT");
        assert!(context != "WAYPOINT" || apply_to != "LISTENER");
        match (apply_to, operation) {
            ("CLUSTER", "ADD") => clusters.push(value.clone()),
            ("LISTENER", "MERGE") => {
                // Inbound the one listener has a port of its own.
                let port = &matched["listener"]["portNumber"];
                assert!(port.is_null() || context != "SIDECAR_INBOUND", "{matched}");
                merge(&mut listener, value);
            }
            ("NETWORK_FILTER", "MERGE") => {
                let mut value = value["typed_config"].clone();
                assert_eq!(value["@type"], HCM);
                value.as_object_mut().unwrap().remove("@type");
                merge(&mut manager, &value);
            }
            ("HTTP_FILTER", "INSERT_BEFORE") => {
                let before = match context {
                    "WAYPOINT" => &matched["waypoint"]["filter"]["subFilter"]["name"],
                    _ => &matched["listener"]["filterChain"]["filter"]["subFilter"]["name"],
                };
                let filters = manager["http_filters"].as_array_mut().unwrap();
                let at = filters.iter().position(|filter| filter["name"] == *before);
                filters.insert(at.unwrap(), value.clone());
            }
            ("HTTP_ROUTE", "MERGE") => merge_route(&mut manager, matched, value),
            other => panic!("{other:?}"),
        }
    }
    let mut bootstrap = bootstrap(places, manager, clusters);
    merge(
        &mut bootstrap["static_resources"]["listeners"][0],
        &listener,
    );
    // The pod's folder is this machine's.
    let socket = places.dir.path().join("run/weir.sock");
    let text = bootstrap.to_string();
    serde_json::from_str(&text.replace("/run/weir/weir.sock", &socket.display().to_string()))
        .unwrap()
}

fn merge_route(manager: &mut Value, matched: &Value, value: &Value) {
    let vhost = &matched["routeConfiguration"]["vhost"];
    let fits = |wanted: &Value, name: &Value| wanted.is_null() || wanted == name;
    let hosts = manager["route_config"]["virtual_hosts"]
        .as_array_mut()
        .unwrap();
    let mut patched = 0;
    for host in hosts {
        if !fits(&vhost["name"], &host["name"]) {
            continue;
        }
        for route in host["routes"].as_array_mut().unwrap() {
            if fits(&vhost["route"]["name"], &route["name"]) {
                merge(route, value);
                patched += 1;
            }
        }
    }
    assert!(patched > 0, "{matched} fits no route");
}

async fn start(name: &str, context: &str) -> (Rendered, Rig) {
    let rendered = render(&rig::with_config(&case(name)));
    let rig = Rig::start(&rendered.weir_yaml(), |places| {
        pilot(&rendered, context, places)
    })
    .await;
    (rendered, rig)
}

/// What must hold wherever weir is attached: metered exactly, limited in the API's
/// own words, and strangers turned away.
pub async fn is_limited_and_metered(rig: &Rig, host: &str) {
    calls_bring(rig, host, None).await;
}

/// The same, and what calls bring to the provider as their key.
async fn calls_bring(rig: &Rig, host: &str, credential: Option<&str>) {
    let answer = rig.send(rig.chat(host, "/v1/chat/completions", &[])).await;
    assert_eq!(answer.status, 200, "{answer:?}\n{}", rig.envoy.tail());
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("2"));
    let stream = [("stream", "yes")];
    let answer = rig
        .send(rig.chat(host, "/v1/chat/completions", &stream))
        .await;
    assert_eq!(answer.text().matches("apple").count(), 5, "{answer:?}");
    rig.rows(2).await;
    let stranger = [("authorization", "Bearer nobody's")];
    let answer = rig
        .send(rig.chat(host, "/v1/chat/completions", &stranger))
        .await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
    let answer = rig.send(rig.chat(host, "/v1/chat/completions", &[])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = rig.send(rig.chat(host, "/v1/chat/completions", &[])).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
    let rows = rig.rows(5).await;
    let exact: Vec<_> = rows
        .iter()
        .filter(|row| row.outcome == Outcome::Exact)
        .collect();
    assert_eq!(exact.len(), 3, "{rows:?}");
    for row in exact {
        assert_eq!(row.known, Some(Known::Provider));
        assert_eq!(
            (row.input_tokens, row.output_tokens),
            (Some(10), Some(5)),
            "{row:?}"
        );
        assert_eq!(row.tenant.as_deref(), Some("acme"));
    }
    let log = rig.provider.log();
    assert_eq!(log.len(), 3);
    for received in log {
        let brought = received.header("authorization");
        assert_eq!(brought, credential, "the caller's key stays here");
        assert_eq!(received.body["max_tokens"], 100);
    }
}

/// A route's own policy, though the client asks Envoy for another route by weir's own
/// headers.
pub async fn is_barred(rig: &Rig, host: &str) {
    let before = rig.provider.received();
    let forged = [("x-weir-cluster", "provider"), ("x-weir-model", "gpt-4o")];
    for headers in [&forged[..], &[]] {
        let request = rig.chat(host, "/barred/v1/chat/completions", headers);
        let answer = rig.send(request).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.text().contains("Not by this route."), "{answer:?}");
    }
    assert_eq!(rig.provider.received(), before);
}

/// The split profile's promise: calls by two routes are metered; an answer under way
/// outlives weir, and new calls don't pass.
pub async fn answers_outlive_weir(rig: &mut Rig, host: &str) {
    for path in ["/v1/chat/completions", "/embeddings/v1/chat/completions"] {
        let answer = rig.send(rig.chat(host, path, &[])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let rows = rig.rows(2).await;
    assert!(
        rows.iter().all(|row| row.outcome == Outcome::Exact),
        "{rows:?}"
    );
    let held = [
        ("stream", "yes"),
        ("x-fake-gate", "rest"),
        ("x-fake-gate-after", "1"),
    ];
    let request = rig.chat(host, "/v1/chat/completions", &held);
    let mut open = rig.open(request).await;
    open.chunk().await.unwrap().unwrap();
    fails_closed(rig, host).await;
    rig.provider.open_gate("rest");
    assert!(open.rest().await.1, "the answer was cut");
}

/// Without weir nothing passes, in the single profile and through the door.
async fn fails_closed(rig: &mut Rig, host: &str) {
    let before = rig.provider.received();
    rig.weir.kill();
    let answer = rig.send(rig.chat(host, "/v1/chat/completions", &[])).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(rig.provider.received(), before);
}

#[tokio::test]
async fn at_a_gateway_with_the_providers_keys() {
    let (rendered, mut rig) = start("istio-gateway", "GATEWAY").await;
    let key = format!("Bearer {}", rig::credential(0));
    calls_bring(&rig, "llm.example.com", Some(&key)).await;
    let patch = yaml(&rendered.data("weir-gateway", "deployment"));
    let variables = &patch["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(variables[0]["name"], "WEIR_CREDENTIAL_0");
    let source = &variables[0]["valueFrom"]["secretKeyRef"];
    assert_eq!(*source, json!({ "name": "provider-keys", "key": "openai" }));
    // A route that is excluded passes by: neither refused, though the limit is used
    // up, nor a row.
    let health = rig.chat("llm.example.com", "/health/v1/chat/completions", &[]);
    assert_eq!(rig.send(health).await.status, 200);
    assert_eq!(rig.rows(5).await.len(), 5);
    // Another's route of the same name isn't excluded, and brings no key.
    let before = rig.provider.received();
    let other = rig.chat("other.example.com", "/health/v1/chat/completions", &[]);
    assert_eq!(rig.send(other).await.status, 429);
    assert_eq!(rig.provider.received(), before);
    is_barred(&rig, "llm.example.com").await;
    fails_closed(&mut rig, "llm.example.com").await;
}

#[tokio::test]
async fn at_a_gateway_with_authorization_and_access_log() {
    let (_, mut rig) = start("istio-gateway-authorized", "GATEWAY").await;
    is_limited_and_metered(&rig, "llm.example.com").await;
    let log = rig.access_log(5).await;
    assert_eq!(log[0]["weir_outcome"], "exact", "{log:?}");
    assert_eq!(log[0]["total_tokens"], 15, "{log:?}");
    assert_eq!(log[0]["weir_tenant"], "acme", "{log:?}");
    fails_closed(&mut rig, "llm.example.com").await;
}

#[tokio::test]
async fn where_only_named_routes_pass_weir_in_the_split_profile() {
    let (_, mut rig) = start("istio-gateway-opt-in", "GATEWAY").await;
    // Not named: unseen.
    let other = rig.chat(
        "other.example.com",
        "/v1/chat/completions",
        &[("authorization", "")],
    );
    assert_eq!(rig.send(other).await.status, 200);
    let received = rig.provider.log();
    assert!(received[0].body["max_tokens"].is_null());
    let before = rig.provider.received();
    assert_eq!(before, 1);
    // Named by virtual host and name, and by name alone.
    answers_outlive_weir(&mut rig, "llm.example.com").await;
}

#[tokio::test]
async fn in_the_gateways_own_pod() {
    let (rendered, mut rig) = start("istio-same-pod", "GATEWAY").await;
    is_limited_and_metered(&rig, "llm.example.com").await;
    fails_closed(&mut rig, "llm.example.com").await;
    // The patch mounts the same socket into both containers.
    let patch = yaml(&rendered.data("weir-gateway", "deployment"));
    let pod = &patch["spec"]["template"]["spec"];
    let of = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().unwrap().clone();
        mounts
            .into_iter()
            .find(|mount| mount["name"] == "weir-socket")
    };
    assert_eq!(of(&pod["initContainers"][0]), of(&pod["containers"][0]));
    assert_eq!(pod["initContainers"][0]["restartPolicy"], "Always");
    assert_eq!(pod["containers"][0]["name"], "istio-proxy");
}

#[tokio::test]
async fn before_a_workload_where_calls_leave_and_at_a_waypoint() {
    for (name, context) in [
        ("istio-inbound", "SIDECAR_INBOUND"),
        ("istio-outbound", "SIDECAR_OUTBOUND"),
        ("istio-waypoint", "WAYPOINT"),
    ] {
        let (_, mut rig) = start(name, context).await;
        is_limited_and_metered(&rig, "llm.example.com").await;
        fails_closed(&mut rig, "llm.example.com").await;
    }
}

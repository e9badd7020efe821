//! Envoy Gateway's way: its policies translated into the filters that they stand
//! for, its patches applied to them, and run.

use crate::chart::{NAMESPACE, Rendered, case, render};
use crate::istio::{answers_outlive_weir, is_barred, is_limited_and_metered};
use crate::rig::{self, Places, Rig, WEIR_HOST, bootstrap, merge, provider_cluster};
use serde_json::{Value, json};
use weir::exchange::event::Outcome;

/// An HCM as Envoy Gateway makes it of a Gateway and its HTTPRoutes. ext_proc and
/// ext_authz are off but where a policy's route switches them on.
fn manager(rendered: &Rendered) -> Value {
    // HTTPRoute, which of its rules, and the path that it matches.
    let rules = [
        ("status", 0, "/status/"),
        ("embeddings", 0, "/embeddings/"),
        ("llm", 1, "/barred/"),
        ("llm", 0, "/"),
    ];
    let namespace = policy_namespace(rendered);
    let mut routes: Vec<Value> = rules
        .into_iter()
        .map(|(name, rule, prefix)| {
            json!({
                "name": format!("httproute/{namespace}/{name}/rule/{rule}/match/0/*"),
                "match": { "prefix": prefix },
                "route": { "cluster": "provider", "timeout": "600s" },
            })
        })
        .collect();
    let mut filters = Vec::new();
    if let Some(policy) = rendered.find("SecurityPolicy", "weir") {
        let filter = ext_authz(policy);
        enable(&mut routes, rendered, policy, &filter);
        filters.push(filter);
    }
    let policy = rendered.get("EnvoyExtensionPolicy", "weir");
    for filter in ext_procs(policy) {
        enable(&mut routes, rendered, policy, &filter);
        filters.push(filter);
    }
    filters.push(json!({ "name": "envoy.filters.http.router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }));
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "route_config": { "virtual_hosts": [ { "name": "eg/http/*", "domains": ["*"], "routes": routes } ] },
        "http_filters": filters,
    });
    if let Some(proxy) = rendered
        .objects
        .iter()
        .find(|object| object["kind"] == "EnvoyProxy")
    {
        let format = &proxy["spec"]["telemetry"]["accessLog"]["settings"][0]["format"];
        assert_eq!(format["type"], "JSON");
        manager["access_log"] = json!([ { "name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": { "json_format": format["json"] },
        } } ]);
    }
    if let Some(traffic) = rendered.find("ClientTrafficPolicy", "weir-eg") {
        let spec = &traffic["spec"];
        if spec["path"]["escapedSlashesAction"] == "KeepUnchanged" {
            manager["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED".into();
        }
        // What is of a Gateway stands beside it.
        let proxy = rendered
            .objects
            .iter()
            .find(|object| object["kind"] == "EnvoyProxy");
        if let Some(proxy) = proxy {
            let beside = &traffic["metadata"]["namespace"];
            assert_eq!(proxy["metadata"]["namespace"], *beside);
        }
        let removed = spec["headers"]["earlyRequestHeaders"]["remove"]
            .as_array()
            .unwrap();
        let removed: Vec<_> = removed
            .iter()
            .map(|name| json!({ "remove": name }))
            .collect();
        manager["early_header_mutation_extensions"] = json!([ {
            "name": "envoy.http.early_header_mutation.header_mutation",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                "mutations": removed,
            },
        } ]);
        let timeout = &spec["timeout"]["http"];
        manager["stream_idle_timeout"] = timeout["streamIdleTimeout"].clone();
        manager["request_timeout"] = timeout["requestReceivedTimeout"].clone();
        manager["request_headers_timeout"] = timeout["requestHeadersReceivedTimeout"].clone();
        if let Some(hops) = spec["clientIPDetection"]["xForwardedFor"]["numTrustedHops"].as_u64() {
            manager["xff_num_trusted_hops"] = hops.into();
        }
    }
    manager
}

fn policy_namespace(rendered: &Rendered) -> String {
    let policy = rendered.get("EnvoyExtensionPolicy", "weir");
    policy["metadata"]["namespace"].as_str().unwrap().to_owned()
}

/// Switches a filter on for the routes of a policy: those that it names, or all of
/// its Gateway but those that have a policy of their own.
fn enable(routes: &mut [Value], rendered: &Rendered, policy: &Value, filter: &Value) {
    let own = rendered.find(policy["kind"].as_str().unwrap(), "weir-exclude");
    let names = |policy: &Value| -> Vec<(String, String)> {
        let refs = policy["spec"]["targetRefs"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        refs.iter()
            .map(|target| (text(&target["kind"]), text(&target["name"])))
            .collect()
    };
    let excluded = own.map(names).unwrap_or_default();
    for route in routes {
        let name = route["name"].as_str().unwrap().to_owned();
        let of = |kind: &str, target: &str| match kind {
            "Gateway" => true,
            _ => name.contains(&format!("/{target}/")),
        };
        let fits = |(kind, target): &(String, String)| of(kind, target);
        if names(policy).iter().any(fits) && !excluded.iter().any(fits) {
            let config = json!({ "typed_per_filter_config": { filter["name"].as_str().unwrap(): {
                "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {},
            } } });
            merge(route, &config);
        }
    }
}

/// A duration of the Gateway API as Envoy writes it.
fn seconds(span: &Value) -> String {
    let span = span.as_str().unwrap();
    match span.strip_suffix("ms") {
        Some(ms) => format!("{}s", ms.parse::<f64>().unwrap() / 1000.0),
        None => span.to_owned(),
    }
}

fn ext_procs(policy: &Value) -> Vec<Value> {
    let (namespace, name) = (
        &policy["metadata"]["namespace"],
        &policy["metadata"]["name"],
    );
    let path = format!("{}/{}", namespace.as_str().unwrap(), name.as_str().unwrap());
    let list = policy["spec"]["extProc"].as_array().unwrap();
    let translated = list.iter().enumerate().map(|(index, one)| {
        let name = format!("envoy.filters.http.ext_proc/envoyextensionpolicy/{path}/extproc/{index}");
        let mode = &one["processingMode"];
        // What isn't there isn't sent, not even its headers.
        let side = |side: &str| match mode[side].is_object() {
            true => ("SEND", mode[side]["body"].as_str().unwrap_or("None").to_uppercase()),
            false => ("SKIP", "NONE".to_owned()),
        };
        let ((request, request_body), (response, response_body)) = (side("request"), side("response"));
        let mut config = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": { "envoy_grpc": { "cluster_name": format!("envoyextensionpolicy/{path}/extproc/{index}"), "authority": WEIR_HOST }, "timeout": "10s" },
            "failure_mode_allow": one["failOpen"],
            "message_timeout": seconds(&one["messageTimeout"]),
            "processing_mode": {
                "request_header_mode": request, "request_body_mode": request_body, "request_trailer_mode": "SKIP",
                "response_header_mode": response, "response_body_mode": response_body, "response_trailer_mode": "SKIP",
            },
            "metadata_options": {
                "forwarding_namespaces": { "untyped": one["metadata"]["accessibleNamespaces"] },
                "receiving_namespaces": { "untyped": one["metadata"]["writableNamespaces"] },
            },
        });
        let retry = &one["backendSettings"]["retry"];
        if retry.is_object() {
            let triggers = retry["retryOn"]["triggers"].as_array().unwrap();
            let triggers: Vec<&str> = triggers.iter().map(|on| on.as_str().unwrap()).collect();
            let back_off = &retry["perRetry"]["backOff"];
            config["grpc_service"]["retry_policy"] = json!({
                "num_retries": retry["numRetries"],
                "retry_on": triggers.join(","),
                "retry_back_off": {
                    "base_interval": seconds(&back_off["baseInterval"]),
                    "max_interval": seconds(&back_off["maxInterval"]),
                },
            });
        }
        if let Some(code) = one["statusOnError"].as_u64() {
            config["status_on_error"] = json!({ "code": code });
        }
        for side in ["request", "response"] {
            if mode[side]["attributes"].is_array() {
                config[format!("{side}_attributes")] = mode[side]["attributes"].clone();
            }
        }
        json!({ "name": name, "disabled": true, "typed_config": config })
    });
    translated.collect()
}

fn ext_authz(policy: &Value) -> Value {
    let (namespace, name) = (
        &policy["metadata"]["namespace"],
        &policy["metadata"]["name"],
    );
    let path = format!(
        "securitypolicy/{}/{}",
        namespace.as_str().unwrap(),
        name.as_str().unwrap()
    );
    let auth = &policy["spec"]["extAuth"];
    json!({
        "name": format!("envoy.filters.http.ext_authz/{path}"),
        "disabled": true,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "grpc_service": {
                "envoy_grpc": { "cluster_name": path, "authority": WEIR_HOST },
                "timeout": seconds(&auth["timeout"]),
            },
            "failure_mode_allow": auth["failOpen"],
            "status_on_error": { "code": auth["statusOnError"] },
        },
    })
}

/// The cluster of a policy's backend: the chart's Service, a socket, or TLS.
fn backend(rendered: &Rendered, places: &Places, name: &str, of: &Value) -> Value {
    let reference = &of["backendRefs"][0];
    let mut cluster = provider_cluster(name, rig::loopback(places.grpc));
    let mut http2 = json!({});
    let keepalive = &of["backendSettings"]["http2"]["connectionKeepalive"];
    if keepalive.is_object() {
        http2 = json!({ "connection_keepalive": { "interval": keepalive["interval"], "timeout": keepalive["timeout"] } });
    }
    let circuit = &of["backendSettings"]["circuitBreaker"];
    cluster["circuit_breakers"] = json!({ "thresholds": [ {
        "max_connections": circuit["maxConnections"], "max_pending_requests": circuit["maxPendingRequests"],
        "max_requests": circuit["maxParallelRequests"],
    } ] });
    cluster["per_connection_buffer_limit_bytes"] =
        of["backendSettings"]["connection"]["bufferLimit"].clone();
    match reference["kind"].as_str().unwrap() {
        "Service" => {
            let service = rendered.get("Service", "weir");
            assert_eq!(reference["namespace"], service["metadata"]["namespace"]);
            let ports = service["spec"]["ports"].as_array().unwrap();
            let port = ports
                .iter()
                .find(|port| port["port"] == reference["port"])
                .unwrap();
            // By this alone Envoy Gateway speaks HTTP/2 to it.
            assert_eq!(port["appProtocol"], "kubernetes.io/h2c");
        }
        "Backend" => {
            let backend = rendered.get("Backend", reference["name"].as_str().unwrap());
            assert_eq!(
                backend["spec"]["appProtocols"],
                json!(["gateway.envoyproxy.io/h2c"])
            );
            let endpoint = &backend["spec"]["endpoints"][0];
            if let Some(path) = endpoint["unix"]["path"].as_str() {
                let path = path.replace(
                    "/run/weir",
                    &places.dir.path().join("run").display().to_string(),
                );
                cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0] =
                    json!({ "endpoint": { "address": { "pipe": { "path": path } } } });
            }
            if backend["spec"]["tls"].is_object() {
                cluster["transport_socket"] = tls(&backend["spec"]["tls"], places);
            }
        }
        other => panic!("{other}"),
    }
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": http2 },
        },
    });
    cluster
}

fn tls(tls: &Value, places: &Places) -> Value {
    let file = |name: &str| json!({ "filename": places.dir.path().join("etc/tls").join(name) });
    // The Secret of the gateway's certificate, which has the authority's too.
    assert_eq!(tls["clientCertificateRef"]["name"], "weir-client");
    assert_eq!(tls["caCertificateRefs"][0]["name"], "weir-client");
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": tls["sni"],
            "common_tls_context": {
                "tls_certificates": [ { "certificate_chain": file("gateway.crt"), "private_key": file("gateway.key") } ],
                "validation_context": {
                    "trusted_ca": file("ca.crt"),
                    "match_typed_subject_alt_names": [ { "san_type": "DNS", "matcher": { "exact": tls["sni"] } } ],
                },
            },
        },
    })
}

/// What Envoy Gateway makes of all of it.
fn translated(rendered: &Rendered, places: &Places) -> Value {
    let namespace = policy_namespace(rendered);
    let mut clusters = vec![provider_cluster("provider", places.provider)];
    let policy = rendered.get("EnvoyExtensionPolicy", "weir");
    for (index, one) in policy["spec"]["extProc"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        let name = format!("envoyextensionpolicy/{namespace}/weir/extproc/{index}");
        clusters.push(backend(rendered, places, &name, one));
    }
    if let Some(policy) = rendered.find("SecurityPolicy", "weir") {
        let name = format!("securitypolicy/{namespace}/weir");
        clusters.push(backend(
            rendered,
            places,
            &name,
            &policy["spec"]["extAuth"]["grpc"],
        ));
    }
    if namespace != NAMESPACE {
        let grant = rendered.get("ReferenceGrant", "weir");
        assert_eq!(grant["metadata"]["namespace"], NAMESPACE);
        let from = grant["spec"]["from"].as_array().unwrap();
        assert!(from.iter().all(|from| from["namespace"] == *namespace));
    }
    let mut bootstrap = bootstrap(places, manager(rendered), clusters);
    let listener = &mut bootstrap["static_resources"]["listeners"][0];
    if let Some(traffic) = rendered.find("ClientTrafficPolicy", "weir-eg") {
        listener["per_connection_buffer_limit_bytes"] =
            traffic["spec"]["connection"]["bufferLimit"].clone();
    }
    if let Some(patches) = rendered.find("EnvoyPatchPolicy", "weir-eg-http") {
        for patch in patches["spec"]["jsonPatches"].as_array().unwrap() {
            let gateways = patches["metadata"]["namespace"].as_str().unwrap();
            assert_eq!(patch["name"], format!("{gateways}/eg/http"));
            apply(listener, &patch["operation"]);
        }
    }
    bootstrap
}

/// The one form of JSONPath that the chart uses: a filter by its name, and a field.
fn apply(listener: &mut Value, operation: &Value) {
    assert_eq!(operation["op"], "add");
    let path = operation["jsonPath"].as_str().unwrap();
    let rest = path
        .strip_prefix("..http_filters[?match(@.name, '")
        .unwrap();
    let (pattern, rest) = rest.split_once("')].typed_config").unwrap();
    let filters = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
    // `match` is a regular expression that fits the whole name (RFC 9535).
    let found = filters.as_array_mut().unwrap().iter_mut();
    let mut found: Vec<_> = found.filter(|filter| filter["name"] == *pattern).collect();
    assert_eq!(found.len(), 1, "{pattern}");
    let mut at = &mut found[0]["typed_config"];
    for field in rest.split('.').filter(|field| !field.is_empty()) {
        at = &mut at[field];
    }
    at[operation["path"].as_str().unwrap()] = operation["value"].clone();
}

async fn start(name: &str) -> (Rendered, Rig) {
    let rendered = render(&rig::with_config(&case(name)));
    let rig = Rig::start(&rendered.weir_yaml(), |places| {
        translated(&rendered, places)
    })
    .await;
    (rendered, rig)
}

#[tokio::test]
async fn by_route_with_authorization_and_access_log() {
    let (_, rig) = start("envoy-gateway").await;
    is_limited_and_metered(&rig, "gateway").await;
    let log = rig.access_log(5).await;
    assert_eq!(log[0]["weir_outcome"], "exact", "{log:?}");
    assert_eq!(log[0]["total_tokens"], 15, "{log:?}");
    // A route without a policy is unseen.
    let status = rig.chat("gateway", "/status/v1/chat/completions", &[]);
    assert_eq!(rig.send(status).await.status, 200);
    assert_eq!(rig.rows(5).await.len(), 5);
    is_barred(&rig, "gateway").await;
}

#[tokio::test]
async fn all_of_a_gateway_but_one_in_the_split_profile() {
    let (_, mut rig) = start("envoy-gateway-split").await;
    let status = rig.chat("gateway", "/status/v1/chat/completions", &[]);
    assert_eq!(rig.send(status).await.status, 200);
    answers_outlive_weir(&mut rig, "gateway").await;
}

/// Patches are off in Envoy Gateway as it comes, and one that names another listener
/// counts for nothing: nobody knows then which filter is the door.
#[tokio::test]
async fn a_split_profile_whose_patch_does_not_apply_lets_nothing_out() {
    let mut rendered = render(&rig::with_config(&case("envoy-gateway-split")));
    let is_patch = |object: &Value| object["kind"] == "EnvoyPatchPolicy";
    rendered.objects.retain(|object| !is_patch(object));
    let rig = Rig::start(&rendered.weir_yaml(), |places| {
        translated(&rendered, places)
    })
    .await;
    let answer = rig
        .send(rig.chat("gateway", "/v1/chat/completions", &[]))
        .await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.text().contains("set up wrongly"), "{answer:?}");
    assert_eq!(rig.provider.received(), 0);
    assert_eq!(rig.rows(1).await[0].outcome, Outcome::Refused);
}

#[tokio::test]
async fn in_envoys_own_pods_and_over_tls() {
    for name in ["envoy-gateway-same-pod", "envoy-gateway-tls"] {
        let (rendered, rig) = start(name).await;
        is_limited_and_metered(&rig, "gateway").await;
        if name == "envoy-gateway-same-pod" {
            let proxy = rendered.get("EnvoyProxy", "weir");
            let envoy = &proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"];
            let mount = &envoy["container"]["volumeMounts"][0];
            let mounts = envoy["initContainers"][0]["volumeMounts"]
                .as_array()
                .unwrap();
            assert!(mounts.contains(mount), "{mounts:?}");
            assert_eq!(envoy["initContainers"][0]["restartPolicy"], "Always");
        }
    }
}

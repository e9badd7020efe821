//! The chart's own Envoy: its bootstrap, the providers' keys, and how it ends.

use crate::chart::render;
use crate::istio::is_limited_and_metered;
use crate::rig::{self, Places, Rig, yaml};
use crate::support::stack::envoy_binary;
use crate::support::until;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The rendered bootstrap, with this machine's ports and folders.
fn here(text: &str, places: &Places) -> Value {
    let dir = places.dir.path().display().to_string();
    let text = text
        .replace("/run/weir/", &format!("{dir}/run/"))
        .replace("/etc/envoy/", &format!("{dir}/envoy/"))
        .replace(
            "port_value: 9901 ",
            &format!("port_value: {} ", places.envoy_admin),
        )
        .replace(
            "\"0.0.0.0\", port_value: 10000 ",
            &format!("\"127.0.0.1\", port_value: {} ", places.front),
        );
    yaml(&text)
}

fn values(profile: &str) -> String {
    format!(
        "mode: sidecar\nattach: {{ profile: {profile} }}\npreStopSeconds: 1\ngateway: {{ providers: [ {{ name: fake, host: 127.0.0.1, port: 1, tls: false, credential: {{ header: x-provider-key, secret: provider-keys, key: fake }} }} ] }}\n{}",
        rig::config()
    )
}

async fn start(values: &str) -> Rig {
    let rendered = render(values);
    let data = rendered.get("ConfigMap", "weir-envoy")["data"].clone();
    Rig::start(&rendered.weir_yaml(), |places| {
        let envoy = places.dir.path().join("envoy");
        fs::create_dir_all(envoy.join("credentials/0")).unwrap();
        // As the Secret is mounted.
        fs::write(envoy.join("credentials/0/fake"), "the provider's own key").unwrap();
        fs::create_dir(envoy.join("tls")).unwrap();
        for file in ["tls.crt", "tls.key"] {
            let from = places.dir.path().join("etc/tls").join(file);
            fs::copy(from, envoy.join("tls").join(file)).unwrap();
        }
        for (name, text) in data.as_object().unwrap() {
            let text = text.as_str().unwrap();
            let text = text.replace("/etc/envoy/", &format!("{}/", envoy.display()));
            fs::write(envoy.join(name), text).unwrap();
        }
        let mut bootstrap = here(data["envoy.yaml"].as_str().unwrap(), places);
        for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().unwrap() {
            if cluster["name"] == "fake" {
                let address = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"];
                address["socket_address"]["port_value"] = json!(places.provider.port());
            }
        }
        bootstrap
    })
    .await
}

#[tokio::test]
async fn calls_are_limited_metered_and_bring_the_providers_key() {
    for profile in ["single", "split"] {
        let rig = start(&values(profile)).await;
        is_limited_and_metered(&rig, "anything").await;
        for received in rig.provider.log() {
            assert_eq!(
                received.header("x-provider-key"),
                Some("the provider's own key")
            );
            assert_eq!(received.header("host"), Some("127.0.0.1"));
        }
        let log = rig.access_log(5).await;
        assert_eq!(log[0]["total_tokens"], 15, "{log:?}");
        // The balancer is answered without weir.
        let answer = crate::support::client::get(rig::loopback(rig.places.front), "/healthz").await;
        assert_eq!(answer.status, 200);
    }
}

/// With a certificate of its own.
#[tokio::test]
async fn callers_may_speak_tls() {
    let values = values("single").replace("gateway: {", "gateway: { tlsSecret: gateway-tls,");
    let rig = start(&values).await;
    let script = "import http.client, ssl, sys\n\
        context = ssl._create_unverified_context()\n\
        connection = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]), timeout=20, context=context)\n\
        connection.request('POST', '/v1/chat/completions', '{}', {'authorization': 'Bearer ' + 'nobody'})\n\
        print(connection.getresponse().status)";
    let output = Command::new(crate::chart::root().join("target/venv/bin/python3"))
        .args(["-c", script, &rig.places.front.to_string()])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "401",
        "{output:?}"
    );
    rig.rows(1).await;
}

/// What `preStop` runs: new connections are turned away, an open call ends whole, and
/// the script with it.
#[tokio::test]
async fn its_end_waits_for_open_calls() {
    let rig = start(&values("single")).await;
    let held = [
        ("stream", "yes"),
        ("x-fake-gate", "rest"),
        ("x-fake-gate-after", "1"),
    ];
    let mut open = rig.open(rig.chat("a", "/v1/chat/completions", &held)).await;
    open.chunk().await.unwrap().unwrap();
    let mut drain = Command::new("bash")
        .arg(rig.file("envoy/drain.sh"))
        .args(["60", &rig.places.envoy_admin.to_string(), "1"])
        .spawn()
        .unwrap();
    let front = rig::loopback(rig.places.front);
    until("the balancer to be told", rig::SOON, || async move {
        let answer = crate::support::client::get(front, "/healthz").await;
        (answer.status == 503).then_some(())
    })
    .await;
    // Longer than the script looks away: it is the call that it waits for.
    let since = Instant::now();
    until("the script to have looked", rig::SOON, || async move {
        (since.elapsed().as_secs() >= 3).then_some(())
    })
    .await;
    assert!(drain.try_wait().unwrap().is_none(), "it didn't wait");
    rig.provider.open_gate("rest");
    assert!(open.rest().await.1);
    let ended = until("the script to end", rig::SOON, || {
        let ended = drain.try_wait().unwrap();
        async move { ended }
    })
    .await;
    assert!(ended.success());
}

/// As they are rendered, TLS to providers too.
#[test]
fn envoy_takes_every_bootstrap() {
    let mut seen = 0;
    for (name, rendered) in crate::chart::rendered() {
        let Some(map) = rendered.find("ConfigMap", "weir-envoy") else {
            continue;
        };
        let dir = tempfile::tempdir().unwrap();
        let texts = map["data"].as_object().unwrap();
        for (file, text) in texts {
            fs::write(dir.path().join(file), text.as_str().unwrap()).unwrap();
        }
        // What the Secrets hold.
        crate::rig::mounted(dir.path());
        fs::rename(dir.path().join("etc/tls"), dir.path().join("tls")).unwrap();
        for (index, key) in ["anthropic", "openai"].into_iter().enumerate() {
            let folder = dir.path().join(format!("credentials/{index}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(key), "Bearer a").unwrap();
        }
        validate(dir.path(), texts["envoy.yaml"].as_str().unwrap(), name);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

fn validate(dir: &Path, text: &str, name: &str) {
    let text = text.replace("/etc/envoy/", &format!("{}/", dir.display()));
    let path = dir.join("whole.yaml");
    fs::write(&path, text).unwrap();
    let output = Command::new(envoy_binary())
        .args(["--mode", "validate", "-l", "error", "-c"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
}

/// The filters of the chart are those of `envoy/`, which more tests run.
#[test]
fn its_filters_are_those_of_the_shipped_configurations() {
    let root = crate::chart::root();
    for (profile, file) in [("single", "unix.yaml"), ("split", "split.yaml")] {
        let rendered = render(&values(profile));
        let own = yaml(&rendered.data("weir-envoy", "envoy.yaml"));
        let shipped = yaml(&fs::read_to_string(root.join("envoy").join(file)).unwrap());
        let filters = |bootstrap: &Value| -> Vec<Value> {
            let listener = &bootstrap["static_resources"]["listeners"][0];
            let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
            let all = manager["http_filters"].as_array().unwrap().clone();
            let is_weirs = |filter: &Value| {
                filter["typed_config"]["@type"]
                    .as_str()
                    .is_some_and(|kind| kind.contains("ext_proc"))
            };
            all.into_iter().filter(is_weirs).collect()
        };
        let (own, shipped) = (filters(&own), filters(&shipped));
        assert_eq!(own.len(), shipped.len());
        for (own, shipped) in own.into_iter().zip(shipped) {
            assert_eq!(own["name"], shipped["name"]);
            let (mut own, mut shipped) =
                (own["typed_config"].clone(), shipped["typed_config"].clone());
            for config in [&mut own, &mut shipped] {
                // The chart's are for whatever stands in front of them: more is told.
                let fields = config.as_object_mut().unwrap();
                fields.remove("request_attributes");
                config["metadata_options"]
                    .as_object_mut()
                    .unwrap()
                    .remove("forwarding_namespaces");
            }
            assert_eq!(own, shipped, "{file}");
        }
    }
}

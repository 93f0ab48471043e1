//! Each kind of failure has its own exit code and advice, and leaves nothing behind.

mod support;

use std::fs;

use serde_json::json;
use support::{Cloud, ca_file, register, webex, webex_command};
use tempfile::TempDir;
use webex_sandbox::{Mercury, Mobius, OAuthClient, Sandbox, Wdm};
use webex_tests::{
    leak::base64,
    process::{Ended, Process},
    user::assert_empty,
};

#[track_caller]
fn assert_failure(ended: &Ended, code: i32, says: &str) {
    assert_eq!(ended.code(), code, "{}", ended.stderr);
    assert!(ended.stderr.contains(says), "no `{says}` in: {}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn characters_pasted_around_a_token_are_dropped_or_named() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let (cloud, token) = (sandbox.origin().as_str(), sandbox.token());
    let file = folder.path().join("token");
    let path = file.to_str().unwrap();
    let start = ["register", "--meetings", "--for", "1.5", "--cloud", cloud, "--ca", &ca];
    for pasted in [
        format!("\u{feff}{token}\r\n"),
        format!("\"{token}\"\n"),
        format!("WEBEX_ACCESS_TOKEN={token}"),
        format!("export WEBEX_ACCESS_TOKEN='{token}'\n"),
    ] {
        fs::write(&file, &pasted).unwrap();
        for ended in [
            webex(start.into_iter().chain(["--token-file", path]), None).end(),
            webex(start, Some(&pasted)).end(),
        ] {
            assert_eq!(ended.code(), 0, "{pasted:?}: {}", ended.stderr);
        }
    }
    fs::write(&file, "line one\nab cd\u{e9}\n").unwrap();
    let refused = webex(start.into_iter().chain(["--token-file", path]), None).end();
    assert_failure(&refused, 2, "a space at character 5");
    let refused = webex(start, Some("abc\u{e9}def")).end();
    assert_failure(&refused, 2, "character 4");
    assert!(!refused.stderr.contains("get a new access token"), "{}", refused.stderr);
    assert!(sandbox.requests().of(Wdm::register()).count() == 8, "nothing more was sent");
}

/// What is put around a text by editors, shells and chat programs.
fn pasted(text: &str) -> [String; 4] {
    let name = format!("SOME_NAME=\"{text}\"");
    [format!("\u{feff}{text}\r\n"), format!(" '{text}' "), format!("\u{201c}{text}\u{201d}"), name]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_input_is_read_with_what_is_pasted_around_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let pem = fs::read_to_string(&ca).unwrap();
    let (cloud, token) = (sandbox.origin().as_str(), sandbox.token());
    // Listening ends at once, after every input has been read and used.
    let listen = |cloud: &str, ca: &str| {
        let mut process =
            webex(["listen", "all", "--json", "--cloud", cloud, "--ca", ca], Some(token));
        process.wait_for_event("link:online");
        process.signal("INT");
        assert_eq!(process.end().code(), 0, "{cloud:?}");
    };
    for cloud in pasted(cloud) {
        listen(&cloud, &ca);
    }
    for pem in [format!("\u{feff}{pem}"), format!("note\n{pem}\nnote"), pem.replace('\n', "\\n")] {
        fs::write(&ca, &pem).unwrap();
        listen(cloud, &ca);
    }
    let secret = folder.path().join("secret");
    let secret_path = secret.to_str().unwrap();
    let login = |id: &str, secret: Option<&str>| {
        let place = ["--cloud", cloud, "--ca", &ca, "--client-secret-file", secret_path];
        let start = ["login", "--device", "--client-id", id].into_iter().chain(place);
        let mut command = webex_command(start.take(if secret.is_some() { 8 } else { 10 }), None);
        Process::start(command.envs(secret.map(|secret| ("WEBEX_CLIENT_SECRET", secret))))
    };
    for (id, pasted) in
        pasted(OAuthClient::DEFAULT_ID).iter().zip(pasted(OAuthClient::DEFAULT_SECRET))
    {
        fs::write(&secret, &pasted).unwrap();
        for mut process in [login(id, None), login(id, Some(&pasted))] {
            let code = process.wait_for("a code", |line| line.contains("enter the code"));
            sandbox.identity().deny_device(code.rsplit(' ').next().unwrap());
            assert_failure(&process.end(), 3, "refused");
        }
    }
    fs::write(&secret, "ab\ncd e").unwrap();
    let id = OAuthClient::DEFAULT_ID;
    for (ended, says) in [
        (login(id, None).end(), "a line break at character 3"),
        (login(id, Some("ab cd")).end(), "a space at character 3"),
        (login("my app", None).end(), "a space at character 3"),
        (webex(["listen", "all", "--cloud", "https://my cloud"], Some(token)).end(), "a space at"),
    ] {
        assert_failure(&ended, 2, says);
        assert!(!ended.stderr.contains("get a new access token"), "{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_quotes_is_not_shown() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let secret = sandbox.token().split('_').next().unwrap().to_owned();
    // Without the code that is the message otherwise.
    let quoted = || json!({"error": null});
    sandbox.fail(Wdm::register()).with(403).body(quoted()).quote().times(2);
    sandbox.fail(Mobius::register()).with(403).body(quoted()).quote().always();
    let forms = [secret, base64(sandbox.token())];
    let cloud = sandbox.origin().as_str();
    for what in ["--meetings", "--calling"] {
        for more in [&["--json"][..], &[]] {
            let log = "webex_core=trace,webex_calling=trace";
            let start = ["register", what, "--for", "1.5", "--log", log];
            let start = start.into_iter().chain(["--cloud", cloud, "--ca", &ca]);
            let ended = webex(start.chain(more.iter().copied()), Some(sandbox.token())).end();
            let shown = format!("{} {}", ended.stdout.join("\n"), ended.stderr);
            assert_ne!(ended.code(), 0, "{}", ended.stderr);
            // The texts of Mobius are not shown at all.
            assert_eq!(shown.contains("[redacted]"), what == "--meetings", "{shown}");
            assert!(!forms.iter().any(|form| shown.contains(form)), "a secret is shown");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_not_the_network() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let (ca, store) = (ca_file(&sandbox, &folder), folder.path().join("store"));
    let (cloud, store_path) = (sandbox.origin().as_str(), store.to_str().unwrap());
    let login = ["login", "--cloud", cloud, "--ca", &ca, "--store", store_path];
    assert_eq!(webex(login, None).end().code(), 0);
    for file in fs::read_dir(&store).unwrap().map(Result::unwrap) {
        let bytes = fs::read(file.path()).unwrap();
        if !bytes.is_empty() {
            fs::write(file.path(), &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    for command in ["whoami", "register"] {
        let ended = webex([command, "--store", store_path], None).end();
        assert_failure(&ended, 5, "damaged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_secret_is_the_applications_fault() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let (ca, secret) = (ca_file(&sandbox, &folder), folder.path().join("secret"));
    fs::write(&secret, "not-the-secret").unwrap();
    let (cloud, secret) = (sandbox.origin().as_str(), secret.to_str().unwrap());
    let ended = webex(
        ["login", "--device", "--client-id", OAuthClient::DEFAULT_ID].into_iter().chain([
            "--client-secret-file",
            secret,
            "--cloud",
            cloud,
            "--ca",
            &ca,
        ]),
        None,
    );
    let ended = ended.end();
    assert_failure(&ended, 6, "client id, secret");
    assert!(!ended.stderr.contains("not-the-secret"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_limit_is_not_an_entitlement() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let body = json!({ "errorCode": 101, "message": "device limit" });
    sandbox.fail(Mobius::register()).with(403).body(body).always();
    let ended = register(&sandbox, &ca, &["--calling", "--on-device-limit", "fail"]).end();
    assert_failure(&ended, 7, "as many devices as allowed");
    assert_empty(&sandbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_certificate_names_its_issuer() {
    let sandbox = Sandbox::start().await.unwrap();
    let cloud = sandbox.origin().as_str();
    let ended = webex(["register", "--cloud", cloud], Some(sandbox.token())).end();
    assert_failure(&ended, 8, "--ca FILE");
    assert!(
        ended.stderr.contains("issued by \"") && ended.stderr.contains("sandbox"),
        "{}",
        ended.stderr
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_start_leaves_no_device() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    sandbox.fail(Mobius::discovery()).with(503).always();
    for _ in 0..10 {
        let ended = register(&sandbox, &ca, &["--calling"]).end();
        assert_eq!(ended.code(), 10, "{}", ended.stderr);
        assert_empty(&sandbox);
    }
    assert!(sandbox.requests().of(Wdm::register()).count() >= 10, "each had a device");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_end_is_a_failure() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let mut webex = register(&sandbox, &ca, &["--calling"]);
    webex.wait_for_event("registered");
    sandbox.fail(Mobius::unregister()).with(503).always();
    webex.signal("INT");
    assert_failure(&webex.end(), 1, "did not confirm that the line is deregistered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_before_the_registration_is_a_failure() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    sandbox.fail(Mobius::register()).with(503).always();
    let ended = register(&sandbox, &ca, &["--for", "2"]).end();
    assert_failure(&ended, 1, "before everything was registered");
    assert_empty(&sandbox);
}

/// A line is registered without the event socket, but gets no call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_whose_events_never_arrive_is_a_failure() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let ca = ca_file(&sandbox, &folder);
    let mut webex = register(&sandbox, &ca, &["--calling"]);
    webex.wait_for_event("registered");
    sandbox.wait_for(|s| s.counts().sockets == 1).await.unwrap();
    assert!(sandbox.close_socket(sandbox.sockets()[0].id, 4403, "not entitled"));
    assert_failure(&webex.end(), 9, "event socket");
    assert_empty(&sandbox);

    sandbox.fail(Mercury::connect()).with(403).always();
    assert_failure(&register(&sandbox, &ca, &["--calling"]).end(), 9, "event socket");
    assert_empty(&sandbox);
}

#[cfg(unix)]
#[test]
fn a_sandbox_that_others_can_reach_says_so() {
    let mut reachable = webex(["sandbox", "--listen", "0.0.0.0:0"], None);
    reachable.wait_for("its banner", |line| line.contains("Ctrl-C"));
    reachable.signal("INT");
    assert_failure(&reachable.end(), 0, "its control API has no password");
    let mut local = webex(["sandbox", "--listen", "127.0.0.1:0"], None);
    local.wait_for("its banner", |line| line.contains("Ctrl-C"));
    local.signal("INT");
    let ended = local.end();
    assert!(!ended.stderr.contains("password"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insecure_is_given_each_time_and_is_for_this_machine() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    let (cloud, store) = (sandbox.origin().as_str(), store.to_str().unwrap());
    let login = webex(["login", "--cloud", cloud, "--insecure", "--store", store], None).end();
    assert_failure(&login, 0, "certificates are not checked");
    assert_failure(&webex(["whoami", "--store", store], None).end(), 8, "--ca FILE");
    let whoami = webex(["whoami", "--insecure", "--store", store], None).end();
    assert_failure(&whoami, 0, "certificates are not checked");

    for arguments in [
        ["register", "--cloud", "https://cloud.example.invalid", "--insecure"].as_slice(),
        ["register", "--cloud", "http://cloud.example.invalid"].as_slice(),
        ["register", "--cloud", "fedramp", "--insecure"].as_slice(),
        ["register", "--insecure"].as_slice(),
        ["login", "--client-id", "x", "--device", "--cloud", "http://192.0.2.1"].as_slice(),
    ] {
        let ended = webex(arguments.iter().copied(), Some("a-token")).end();
        assert_failure(&ended, 2, "--insecure-anywhere");
    }
    let told = ["register", "--cloud", "http://cloud.example.invalid", "--insecure-anywhere"];
    assert_failure(&webex(told, Some("a-token")).end(), 4, "anyone on the network path");
}

#[cfg(unix)]
#[test]
fn a_readable_token_file_is_made_private() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "an older and much longer token than the one that follows it ".repeat(9))
        .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let cloud = Cloud::start(folder, &[]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    cloud.end();
}

use super::*;

/// Reads a text and returns its own spelling, after checking that this reads back as the same.
fn shown<T: Text + FromStr<Err = InvalidValue> + fmt::Debug>(text: &str) -> Result<String, String> {
    let value: T = text.parse().map_err(|error: InvalidValue| error.to_string())?;
    assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(&value), "{text}");
    Ok(value.to_string())
}

fn check<T: Text + FromStr<Err = InvalidValue> + fmt::Debug>(cases: &[(&str, Result<&str, &str>)]) {
    for (text, expected) in cases {
        assert_eq!(shown::<T>(text), expected.map(str::to_owned).map_err(str::to_owned), "{text}");
    }
}

#[test]
fn listen() {
    let name = Err("only `localhost` may be a name; give the address of a network interface");
    let shape = Err("expected an address and a port, such as \"127.0.0.1:8000\"");
    check::<Listen>(&[
        ("127.0.0.1:8000", Ok("127.0.0.1:8000")),
        ("[::1]:8000", Ok("[::1]:8000")),
        ("localhost:8000", Ok("localhost:8000")),
        ("localhost:99999", Err("the port must be between 0 and 65535")),
        ("example.com:8000", name),
        ("8000", shape),
        (":8000", shape),
        ("127.0.0.1", shape),
        ("http://127.0.0.1:8000", shape),
    ]);
    let loopback = |text: &str| text.parse::<Listen>().unwrap().is_loopback();
    for text in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"] {
        assert!(loopback(text), "{text}");
    }
    for text in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1"] {
        assert!(!loopback(text), "{text}");
    }
    let both: Vec<String> = Listen::Localhost(1).addresses().iter().map(ToString::to_string).collect();
    assert_eq!(both, ["127.0.0.1:1", "[::1]:1"]);
}

#[test]
fn base_url() {
    let follows = Err("nothing may follow host and port");
    check::<BaseUrl>(&[
        ("http://localhost:8000", Ok("http://localhost:8000")),
        ("https://MCP.example.com/", Ok("https://mcp.example.com")),
        ("https://mcp.example.com:443", Ok("https://mcp.example.com")),
        ("https://mcp.example.com/mcp", follows),
        ("https://mcp.example.com?a", follows),
        ("https://me@mcp.example.com", Err("no user name or password may stand before the host")),
        ("ftp://mcp.example.com", Err("the scheme must be https or http")),
        ("mcp.example.com", Err("it must begin with http:// or https://")),
        ("localhost:8000", Err("it must begin with http:// or https://")),
    ]);
    let url = |text: &str| text.parse::<BaseUrl>().unwrap();
    assert!(url("http://localhost").is_loopback() && url("http://[::1]:8").is_loopback());
    assert!(!url("http://localhost.example.com").is_loopback());
    assert_eq!(BaseUrl::localhost(0).with_bound_port(4000).as_str(), "http://localhost:4000");
    assert_eq!(url("https://a.example").with_bound_port(4000).as_str(), "https://a.example");
}

#[test]
fn origins_and_hosts() {
    check::<Origin>(&[
        ("https://App.example.com/", Ok("https://app.example.com")),
        ("http://localhost:3000", Ok("http://localhost:3000")),
        ("vscode-file://vscode-app", Ok("vscode-file://vscode-app")),
        ("https://example.com/path", Err("nothing may follow host and port")),
        ("null", Err("not a URL: relative URL without a base")),
    ]);
    let alone = Err("expected a host alone, without scheme, port, path or wildcard");
    check::<HostName>(&[
        ("MCP.example.com", Ok("mcp.example.com")),
        ("mcp.example.com:8443", alone),
        ("[::1]", Ok("[::1]")),
        ("[::1]:8000", alone),
        ("https://mcp.example.com", alone),
        ("*.example.com", alone),
    ]);
}

#[test]
fn allowed_hosts() {
    let neither = Err(
        "expected a host alone, without scheme, port, path or wildcard; or a network of addresses, such as \"10.0.0.0/8\"",
    );
    check::<AllowedHost>(&[
        ("MCP.example.com", Ok("mcp.example.com")),
        ("10.0.0.7", Ok("10.0.0.7")),
        ("10.0.0.0/8", Ok("10.0.0.0/8")),
        ("fd00::/8", Ok("fd00::/8")),
        ("10.0.0.0/40", Err("the prefix must be between 0 and 32")),
        ("mcp.example.com/8", neither),
        ("mcp.example.com:8443", neither),
    ]);
}

#[test]
fn networks() {
    check::<Network>(&[
        ("10.0.0.7", Ok("10.0.0.7/32")),
        ("10.0.0.0/8", Ok("10.0.0.0/8")),
        ("fd00::/8", Ok("fd00::/8")),
        ("10.0.0.0/33", Err("the prefix must be between 0 and 32")),
        ("proxy", Err("expected an IP address, or a network such as \"10.0.0.0/8\"")),
    ]);
    for (network, address, expected) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.7", "10.0.0.8", false),
        ("0.0.0.0/0", "8.8.8.8", true),
        ("0.0.0.0/0", "::1", false),
        ("fd00::/8", "fd12::1", true),
        ("::/0", "8.8.8.8", false),
    ] {
        let network: Network = network.parse().unwrap();
        assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
    }
}

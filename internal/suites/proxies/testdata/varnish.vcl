vcl 4.1;

# Started by varnishd -a 127.0.0.1:6081,PROXY -f /etc/varnish/shop.vcl
backend default {
    .host = "127.0.0.1";
    .port = "8080";
    .first_byte_timeout    = 75s;
    .between_bytes_timeout = 75s;
}

sub vcl_recv {
    # Without this, Varnish adds the address to what the client has sent.
    set req.http.X-Forwarded-For = client.ip;
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    if (req.method != "GET" || req.http.Authorization) {
        return (pass);
    }
    return (hash);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = "upgrade";
}

package proxies_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// A proxy is a program with its configuration, one of the files in testdata.
type proxy struct {
	program string
	file    string
	caches  bool
	own     []string // pairs of a text of the configuration and what stands there in a test
	frame   string   // the file that includes the configuration, unless that is a whole one
	args    func(dir string, port int) []string
}

// In own and frame {dir}, {listen} and {app} stand for the directory with all files of a test, the
// port of the proxy and the port of what is behind it.
var proxies = map[string]proxy{
	"nginx": {
		program: "nginx", file: "nginx.conf", caches: true,
		own: []string{
			"listen 443 ", "listen 127.0.0.1:{listen} ", "127.0.0.1:8080", "127.0.0.1:{app}",
			"/etc/ssl/", "{dir}/", "/var/cache/nginx/", "{dir}/",
		},
		frame: "daemon off; master_process off; error_log stderr; pid {dir}/pid; events {}\n" +
			"http { access_log off; default_type text/plain; client_body_temp_path {dir}/body;\n" +
			"proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi; scgi_temp_path {dir}/scgi;\n" +
			"uwsgi_temp_path {dir}/uwsgi; include {dir}/nginx.conf; }\n",
		args: func(dir string, _ int) []string { return []string{"-e", "stderr", "-p", dir, "-c", dir + "/frame"} },
	},
	"haproxy": {
		program: "haproxy", file: "haproxy.cfg", caches: true,
		own:  []string{"bind :443 ", "bind 127.0.0.1:{listen} ", "127.0.0.1:8080", "127.0.0.1:{app}", "/etc/ssl/", "{dir}/"},
		args: func(dir string, _ int) []string { return []string{"-db", "-f", dir + "/haproxy.cfg"} },
	},
	"apache": {
		program: "apache2", file: "apache.conf", caches: true,
		own: []string{
			"Listen 443", "Listen 127.0.0.1:{listen}", "*:443", "127.0.0.1:{listen}", "127.0.0.1:8080", "127.0.0.1:{app}",
			"/etc/ssl/", "{dir}/", "/var/cache/apache2/", "{dir}/",
		},
		frame: "ServerName localhost\nServerRoot {dir}\nDefaultRuntimeDir {dir}\nPidFile {dir}/pid\n" +
			"ErrorLog /dev/stderr\nMutex pthread\n" + apacheModules("mpm_event", "authz_core", "filter", "socache_shmcb",
			"cache", "cache_disk", "deflate", "headers", "http2", "proxy", "proxy_http", "ssl") +
			"Include {dir}/apache.conf\n",
		args: func(dir string, _ int) []string { return []string{"-X", "-f", dir + "/frame"} },
	},
	"caddy": {
		program: "caddy", file: "Caddyfile",
		own: []string{
			"shop.example.com {", "https://shop.example.com:{listen} {\n\tbind 127.0.0.1\n\ttls {dir}/shop.crt {dir}/shop.key",
			"127.0.0.1:8080", "127.0.0.1:{app}",
		},
		frame: "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\nimport {dir}/Caddyfile\n",
		args: func(dir string, _ int) []string {
			return []string{"run", "--adapter", "caddyfile", "--config", dir + "/frame"}
		},
	},
	"varnish": {
		program: "varnishd", file: "varnish.vcl", caches: true,
		own: []string{`"8080"`, `"{app}"`},
		args: func(dir string, port int) []string {
			return []string{
				"-F", "-j", "none", "-n", dir + "/run", "-T", "none", "-s", "malloc,64m", "-f", dir + "/varnish.vcl",
				"-a", fmt.Sprintf("127.0.0.1:%d,PROXY", port),
			}
		},
	},
}

func apacheModules(names ...string) string {
	var lines strings.Builder
	for _, name := range names {
		fmt.Fprintf(&lines, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", name, name)
	}
	return lines.String()
}

// beforeVarnish are changes to the configuration of HAProxy, which speaks TLS in front of Varnish.
var beforeVarnish = []string{
	"server app 127.0.0.1:8080", "server app 127.0.0.1:8080 send-proxy-v2",
	"    http-request  cache-use   shop\n", "", "    http-response cache-store shop\n", "",
}

// fill puts the values of a test in the place of {dir}, {listen} and {app}.
func fill(text, dir string, listen, app int) string {
	return strings.NewReplacer("{dir}", dir, "{listen}", strconv.Itoa(listen), "{app}", strconv.Itoa(app)).Replace(text)
}

// configuration returns the configuration of p with changes, pairs of a text and what stands in its
// place. A text that is not there is an error: the test would not test what it says.
func (p proxy) configuration(read func(string) ([]byte, error), changes []string) (string, error) {
	data, err := read(filepath.Join("testdata", p.file))
	if err != nil {
		return "", err
	}
	text := string(data)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			return "", fmt.Errorf("%s has no %q", p.file, changes[i])
		}
		text = strings.ReplaceAll(text, changes[i], changes[i+1])
	}
	return text, nil
}

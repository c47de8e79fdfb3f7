#!/usr/bin/env bash
# Installs what the tests need and the machine lacks. Where it may not, or knows no package manager,
# it says in one line what to install, and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# have reports whether one of the commands is there.
have() {
	local name
	for name; do
		command -v "$name" >/dev/null && return
	done
	return 1
}

# compiles reports whether C programs can be built: the race detector needs it.
compiles() {
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' |
		$(go env CC) -x c -o /dev/null - 2>/dev/null
}

have go || { echo "deps: install Go 1.25 or later: https://go.dev/doc/install" >&2; exit 1; }

PATH="$PATH:/usr/sbin" # the servers of Debian's packages
missing=()
have make || missing+=(make)
have curl || missing+=(curl)
have redis-server || missing+=(redis-server)
compiles || missing+=(gcc libc6-dev)
if [ -f e2e/go.mod ]; then
	have chromium chromium-browser google-chrome || missing+=(chromium)
	have chromium-headless-shell chromium-browser google-chrome || missing+=(chromium-headless-shell)
	have firefox-esr firefox || missing+=(firefox-esr)
	have npm || missing+=(npm)
	have javac || missing+=(default-jdk-headless)
fi
if [ -f sqlstore/go.mod ]; then
	compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres || missing+=(postgresql)
	have mariadbd mysqld || missing+=(mariadb-server)
	have pgbouncer || missing+=(pgbouncer)
fi
if [ -f internal/suites/proxies/go.mod ]; then
	have nginx || missing+=(nginx)
	have haproxy || missing+=(haproxy)
	have apache2 || missing+=(apache2-bin)
	have caddy || missing+=(caddy)
	have varnishd || missing+=(varnish)
fi
if [ -f otelsession/go.mod ]; then
	have promtool || missing+=(prometheus)
fi
if grep -rqsF redis-sentinel --include='*.go' goredis; then
	have redis-sentinel || missing+=(redis-sentinel)
fi
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)
if ! have apt-get || ! "${root[@]}" true 2>/dev/null; then
	echo "deps: install what is missing, by Debian's names: apt-get install ${missing[*]}" >&2
	exit 1
fi

apt() {
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 "$@" </dev/null
}
echo "deps: apt-get install ${missing[*]}"
# Package lists that are absent or old make the first try fail; a source that is down need not
# matter to the second.
apt install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
	apt update || true
	apt install -y --no-install-recommends "${missing[@]}"
}

#!/usr/bin/env bash
# The playbook performed by hand, with kubectl, helm and curl, against a running embedded world: the baseline of the benchmark.
# It does what a careful person types, no more: no journal, no resume, no way back.
#   ./build.sh --target=RehearsalUp && scripts/playbook-by-hand.sh RELEASE [WORLD-DIRECTORY]
set -Eeuo pipefail
release=${1:?usage: playbook-by-hand.sh RELEASE [WORLD-DIRECTORY]}
directory=${2:-.rehearsal}
for tool in kubectl helm git curl python3 psql awk tar; do
  command -v "$tool" >/dev/null || { echo "$tool is not on PATH" >&2; exit 2; }
done
[[ -r $directory/world.json ]] || { echo "no world runs in $directory: start one with ./build.sh --target=RehearsalUp" >&2; exit 2; }
directory=$(cd "$directory" && pwd)
trap 'echo "stopped at line $LINENO: $BASH_COMMAND" >&2' ERR

# The benchmark reads these lines: when each step began, in seconds.
started=${EPOCHREALTIME/[.,]/}
seconds() { local ms=$(((${EPOCHREALTIME/[.,]/} - started) / 1000)); printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100)); }
say() { printf '%6s s  %s\n' "$(seconds)" "$*"; }
until_true() { for _ in $(seq 240); do if "$@"; then return; fi; sleep 0.25; done; echo "gave up waiting: $*" >&2; exit 1; }

# The world's addresses and credentials, read once: world[dns.zone], world[slots.green.address] …
declare -A world
while IFS=$'\t' read -r name value; do world[$name]=$value; done < <(python3 -c '
import json, sys
def walk(prefix, value):
    for key, inner in value.items():
        if isinstance(inner, dict): walk(prefix + key + ".", inner)
        else: print(prefix + key, inner, sep="\t")
walk("", json.load(open(sys.argv[1])))' "$directory/world.json")
kill -0 "${world[pid]}" 2>/dev/null || { echo "the world in $directory has ended" >&2; exit 2; }

export KUBECONFIG=$directory/kubeconfig
# The suite's limits. With helm's own (HELM_QPS=5 HELM_BURST_LIMIT=100) each wait for a stack that already stands takes a minute more.
export HELM_QPS=${HELM_QPS:-200} HELM_BURST_LIMIT=${HELM_BURST_LIMIT:-1000}
platform=${world[platform]} dsn=${world[database.dsn]} port=${world[httpsPort]} ca=${world[certificateAuthority]} accounts=(company director-1 director-2)
linode() { curl -fsS -H "Authorization: Bearer ${world[dns.token]}" -H 'Content-Type: application/json' "$@"; }
domain=$(linode "${world[dns.api]}/domains" | python3 -c "import json, sys; print(next(d['id'] for d in json.load(sys.stdin)['data'] if d['domain'] == '${world[dns.zone]}'))")
records() { linode "${world[dns.api]}/domains/$domain/records?page_size=500"; }

address_now=$(records | python3 -c "import json, sys; print(next(r['target'] for r in json.load(sys.stdin)['data'] if r['type'] == 'A' and r['name'] == 'oms'))")
live=blue candidate=green
if [[ $address_now == "${world[slots.green.address]}" ]]; then live=green candidate=blue; fi
hosts=$(kubectl get ingress -n "aether-$live" -o jsonpath='{range .items[*]}{range .spec.rules[*]}{.host}{"\n"}{end}{end}' | grep -v '\.staging\.' | sort -u)
ns=aether-$candidate address=${world[slots.$candidate.address]}
# A rollout lifts the fences that rollouts set and no others, so the reason says that this is one.
reason="aether-rollout $release by hand"
say "$release: $live is live, $candidate is the candidate"

pod() { kubectl get pods -n "aether-$1" -l "app=$2" --field-selector=status.phase=Running -o jsonpath='{.items[0].status.podIP}'; }
call() { curl -sS -o /dev/null -w '%{http_code}' -X "$1" -H "Authorization: Bearer ${world[slots.$2.session]}" -H 'Content-Type: application/json' "http://$(pod "$2" "$3"):8000$4" "${@:5}"; }
expect() { local got; got=$("${@:2}"); [[ $got == "$1" ]] || { echo "answered $got instead of $1: ${*:2}" >&2; exit 1; }; }
orders() { grep -c "\"slot\":\"$1\"" "${world[exchange.log]}" || true; }
served() { [[ $(curl -s -o /dev/null -w '%{http_code}' --cacert "$ca" --resolve "$1:$port:$address" "https://$1:$port/healthz") =~ ^(200|404)$ ]]; }
copy_secret() { kubectl get secret "$1" -n "aether-$live" -o json | python3 -c "import json, sys; s = json.load(sys.stdin); s['metadata'] = {'name': s['metadata']['name']}; s.pop('immutable', None); print(json.dumps(s))" | kubectl apply --server-side --force-conflicts -n "$ns" -f - >/dev/null; }
upgrade() { helm upgrade --install aether "$platform/deploy/helm/aether-platform" -n "$ns" -f "$platform/deploy/environments/values-rehearsal.yaml" -f "$platform/deploy/environments/values-$candidate.yaml" --wait --timeout 5m --set global.hosts.staging=true "$@" >/dev/null; }
script() { (cd "$platform" && PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 ADMIN_POSTGRES_DSN=$dsn TIMESCALE_DSN=$dsn MIGRATION_DSN=$dsn python3 "$@"); }
refresh() { for account in "${accounts[@]}"; do psql -q "$dsn" -c "refresh materialized view acct_${account//-/_}.events_hourly"; done; }

say '1.1 tag the release'
git -c safe.directory="$platform" -C "$platform" checkout --quiet "$release"
say '1.2 verify migrations'
script ops/migrate_admin_repository.py --source ops/admin_accounts.json >/dev/null
refresh
say '1.3 export a health snapshot'
evidence=$directory/by-hand/$release
mkdir -p "$evidence"
for service in $(kubectl get services -n "aether-$live" -o jsonpath='{.items[*].metadata.name}'); do
  for page in healthz metrics; do
    kubectl get --raw "/api/v1/namespaces/aether-$live/services/http:$service:80/proxy/$page" >"$evidence/$service.$page" 2>/dev/null || true
  done
done
say '1.4 stage config'
for account in "${accounts[@]}"; do kubectl get secret "kraken-keys-$account" -n "aether-$live" >/dev/null; done

say '2.1 create the namespace, without exchange keys'
kubectl get namespace "$ns" >/dev/null 2>&1 || kubectl create namespace "$ns" >/dev/null
kubectl label namespace "$ns" networking.aether.io/trusted=true --overwrite >/dev/null
for account in "${accounts[@]}"; do kubectl delete secret "kraken-keys-$account" -n "$ns" --ignore-not-found >/dev/null; done
for secret in $(kubectl get secrets -n "aether-$live" --field-selector=type!=helm.sh/release.v1 -o jsonpath='{.items[*].metadata.name}'); do
  [[ $secret == kraken-keys-* ]] || copy_secret "$secret"
done
say '2.2 install the chart, safe mode seeded'
IFS=, read -r redis password database <<<"${world[slots.$candidate.redis]}"
exec 3<>"/dev/tcp/${redis%:*}/${redis#*:}"
printf 'AUTH %s\r\nSELECT %s\r\n*3\r\n$3\r\nSET\r\n$15\r\nsafe-mode:state\r\n' "${password#*=}" "${database#*=}" >&3
state="{\"active\": true, \"reason\": \"$reason\", \"timestamp\": \"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)\"}"
printf '$%d\r\n%s\r\n' ${#state} "$state" >&3
for _ in 1 2 3; do read -r answer <&3; [[ $answer == +OK* ]] || { echo "Redis: $answer" >&2; exit 1; }; done
exec 3>&-
upgrade --set global.hosts.production=false
say '2.3 bootstrap observability'
observed=(--set-string 'global.env[4].name=PROMETHEUS_EXPORTER_PORT,global.env[4].value=9464'
  --set-string "global.env[5].name=OTEL_EXPORTER_OTLP_ENDPOINT,global.env[5].value=${world[traces.otlp]}")
upgrade --set global.hosts.production=false "${observed[@]}"
say '2.4 seed state'
script ops/run_migrations.py --dsn-env MIGRATION_DSN >/dev/null
script scripts/generate_openapi.py --output "$evidence/openapi.json" >/dev/null
say '2.5 smoke test'
script -m unittest -q tests.test_governance_audit_logging 2>/dev/null
for host in $hosts; do until_true served "${host/./.staging.}"; done

say '3.1 freeze writes'
upgrade --set global.hosts.production=true "${observed[@]}"
for host in $hosts; do until_true served "$host"; done
for account in "${accounts[@]}"; do expect 200 call POST "$live" sim-mode /sim/enter --data "{\"reason\": \"$reason\", \"account_id\": \"$account\"}"; done
expect 200 call POST "$live" safe-mode /safe_mode/enter --data "{\"reason\": \"$reason\"}"
quiet() { local before; before=$(orders "$live"); sleep 3; [[ $(orders "$live") == "$before" ]]; }
until_true quiet
say '3.2 flip DNS'
for id in $(records | python3 -c "import json, sys; print(*(r['id'] for r in json.load(sys.stdin)['data'] if r['type'] == 'A' and r['target'] == '$address_now' and not r['name'].endswith('.staging')))"); do
  linode -X PUT --data "{\"target\": \"$address\"}" "${world[dns.api]}/domains/$domain/records/$id" >/dev/null
done
for host in $hosts; do
  headers=$(curl -sS -o /dev/null -D - --cacert "$ca" --resolve "$host:$port:$address" "https://$host:$port/")
  grep -qi '^strict-transport-security:' <<<"$headers" || say "  $host: look at its headers"
done
say '3.3 monitor'
watched=http://$(pod "$candidate" admin-platform):8000/metrics
evaluations() { curl -fsS "$watched" | awk '/^scaling_evaluations_total/ { n += $NF } END { print n + 0 }'; }
first=$(evaluations)
evaluated_twice() { (($(evaluations) >= first + 2)); }
until_true evaluated_twice
say '3.4 re-enable trading'
for account in "${accounts[@]}"; do copy_secret "kraken-keys-$account"; done
upgrade --set global.hosts.production=true "${observed[@]}" --set global.krakenSecrets.enabled=true --set-string "global.krakenSecrets.checksum=$release"
for account in "${accounts[@]}"; do call POST "$candidate" sim-mode "/sim/exit?account_id=$account" >/dev/null; done
before=$(orders "$candidate")
expect 200 call POST "$candidate" safe-mode /safe_mode/exit
trading() { (($(orders "$candidate") > before)); }
until_true trading
say "orders flow from $candidate"

say '4.1 refresh aggregates'
refresh
say '4.2 audit governance'
psql -qAt "$dsn" -c "select action, count(*) from audit_log where action like 'safe_mode.%' group by 1" >"$evidence/audit.txt"
grep -q safe_mode.enter "$evidence/audit.txt" && grep -q safe_mode.exit "$evidence/audit.txt"
say '4.3 archive'
mkdir -p "${world[bucket]}/by-hand"
tar -czf "${world[bucket]}/by-hand/$release.tar.gz" -C "$evidence" .
say "done: $(wc -w <<<"$hosts") hosts and trading are on $candidate"

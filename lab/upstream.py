"""The lab's upstream: Apache with mod_auth_gssapi, made to behave and to log like an app on IIS.

Three addresses of one host, all TLS with the lab's CA and HTTP/1.1 only (IIS does not sign in over HTTP/2):
8443 Negotiate on every request, 8444 Negotiate once per connection, 8445 no sign-in.
"""

from __future__ import annotations

import pwd
import shutil
import time
from pathlib import Path

from ca import Authority, Leaf
from common import ADDRESS, Lab, Process

MODULES = Path("/usr/lib/apache2/modules")
HOST = "iis.lab.test"
PER_REQUEST, PER_CONNECTION, ANONYMOUS = 8443, 8444, 8445
INNER = 8446
URLS = {
    "per_request": f"https://{HOST}:{PER_REQUEST}",
    "per_connection": f"https://{HOST}:{PER_CONNECTION}",
    "anonymous": f"https://{HOST}:{ANONYMOUS}",
}
USER = "www-data"

# IIS's default fields in IIS's order, and the gateway's request id as a custom field at the end.
FIELDS = (
    "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    "sc-status sc-substatus sc-win32-status time-taken x-airgate-request-id"
)
# Apache writes the numbers; every text comes from log.lua, which leaves no byte in it that could end a field or a line.
LOG_FORMAT = (
    "%{end:%Y-%m-%d}t %{end:%H:%M:%S}t %A %{w3c-method}n %{w3c-stem}n %{w3c-query}n %{local}p %{w3c-user}n %a "
    "%{w3c-agent}n %{w3c-referer}n %>s %{w3c-substatus}n %{w3c-win32}n %{ms}T %{w3c-request-id}n"
)

SERVER = """\
ServerRoot {folder}
PidFile {folder}/apache.pid
ServerName {host}
User {user}
Group {user}
DefaultRuntimeDir {folder}/run
Mutex file:{folder}/run default
ErrorLog {folder}/error.log
LogLevel warn auth_gssapi:info
{modules}
TypesConfig /etc/mime.types
ServerTokens Prod
TraceEnable off
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
StartServers 2
ServerLimit 4
ThreadsPerChild 64
MaxRequestWorkers 256
LimitRequestFieldSize 65536
LuaScope thread
SSLSessionCache none
LogFormat "{log_format}" w3c
"""

VHOST = """\
Listen {address}:{port}
<VirtualHost {address}:{port}>
 ServerName {host}
 DocumentRoot {folder}/htdocs
 SSLEngine on
 SSLCertificateFile {certificate}
 SSLCertificateKeyFile {key}
 Protocols http/1.1
 SetEnvIfNoCase Transfer-Encoding chunked proxy-sendcl
 ProxyPass / http://{address}:{inner}/ nocanon disablereuse=on
 ProxyAddHeaders Off
 ProxyPreserveHost On
 RequestHeader set X-Lab-User "expr=%{{REMOTE_USER}}"
 RequestHeader set X-Lab-Connection "expr=%{{REMOTE_PORT}}"
 LuaHookLog {folder}/log.lua w3c
 CustomLog {log} w3c
 <Location />
{sign_in}
 </Location>
</VirtualHost>
"""

# The app itself, behind the signed-in addresses as an ASP.NET Core app is behind IIS. Apache's Lua module reads no chunked
# bodies: the proxy gives every body a length. Plain HTTP, within the namespace; it believes the header that names the user.
INNER_VHOST = """\
Listen {address}:{port}
<VirtualHost {address}:{port}>
 ServerName {host}
 LuaMapHandler ^/api/(orders|payroll|reports)$ {folder}/app.lua $1
 LuaMapHandler ^/echo(/.*)?$ {folder}/app.lua echo
</VirtualHost>
"""

NEGOTIATE = """\
  AuthType GSSAPI
  AuthName iis
  GssapiCredStore keytab:{keytab}
  GssapiAllowedMech krb5
  GssapiConnectionBound {bound}
  GssapiSignalPersistentAuth On
  Require valid-user"""
OPEN = "  Require all granted"

LOG_LUA = r"""
-- One line per request in IIS's W3C extended format. INVARIANT: no text of the client's can end a field or a line:
-- every byte that is not printable ASCII, and space, quote and backslash (which Apache would escape), becomes `+`.
local function field(text)
  if text == nil or text == "" then return "-" end
  return (tostring(text):sub(1, 4096):gsub(".", function(c)
    local b = c:byte()
    if b <= 32 or b >= 127 or b == 34 or b == 92 then return "+" end
  end))
end

function w3c(r)
  local substatus, win32 = 0, 0
  if r.status == 401 then
    -- 401.2: no credential was sent. 401.1: one was, and was refused (SEC_E_LOGON_DENIED).
    if r.headers_in["Authorization"] then substatus, win32 = 1, 2148074252 else substatus, win32 = 2, 5 end
  end
  r.notes["w3c-method"] = field(r.method)
  r.notes["w3c-stem"] = field(r.uri)
  r.notes["w3c-query"] = field(r.args)
  r.notes["w3c-user"] = field(r.status ~= 401 and r.user or nil)
  r.notes["w3c-agent"] = field(r.headers_in["User-Agent"])
  r.notes["w3c-referer"] = field(r.headers_in["Referer"])
  r.notes["w3c-request-id"] = field(r.headers_in["X-Airgate-Request-Id"])
  r.notes["w3c-substatus"] = tostring(substatus)
  r.notes["w3c-win32"] = tostring(win32)
  return apache2.OK
end
"""

APP_LUA = r"""
-- The app. Every answer names the user that the web server signed in.
local BODY_MAX = 64 * 1024 * 1024

local function quote(text)
  return '"' .. tostring(text):gsub('[%c"\\\127-\255]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

local function user(r)
  local name = r.headers_in["X-Lab-User"]
  if name == nil or name == "" then return "null" end
  return quote(name)
end

-- Who is signed in, and which request this is: a caller that logs the answer logs the request's id.
local function who(r)
  return string.format('"user": %s, "request_id": %s', user(r), quote(r.headers_in["X-Airgate-Request-Id"] or "-"))
end

local function answer(r, status, json)
  r.status = status
  r.content_type = "application/json"
  r:puts(json .. "\n")
  return apache2.OK
end

local function body(r)
  if (r.headers_in["Content-Length"] or "0") == "0" then return "" end
  return r:requestbody(nil, BODY_MAX) or ""
end

-- The number of items of a JSON array, or 1 for anything else that is not empty.
local function count(json)
  json = json:match("^%s*(.-)%s*$"):gsub('\\.', ''):gsub('"[^"]*"', '0')
  if json == "" then return 0 end
  if json:sub(1, 1) ~= "[" then return 1 end
  if json:match("^%[%s*%]$") then return 0 end
  local depth, items = 0, 1
  for c in json:gmatch("[%[%]{},]") do
    if c == "[" or c == "{" then depth = depth + 1
    elseif c == "]" or c == "}" then depth = depth - 1
    elseif depth == 1 then items = items + 1 end
  end
  return items
end

function orders(r)
  if r.method == "POST" then
    local sent = body(r)
    return answer(r, 200, string.format('{%s, "accepted": {"count": %d, "bytes": %d}}', who(r), count(sent), #sent))
  end
  return answer(r, 200, string.format(
    '{%s, "orders": [{"id": 1001, "total": 250.00}, {"id": 1002, "total": 99.50}, {"id": 1003, "total": 12.25}]}', who(r)))
end

function payroll(r)
  return answer(r, 200, string.format('{%s, "payroll": [{"employee": 7, "salary": 5200}]}', who(r)))
end

function reports(r)
  return answer(r, 200, string.format('{%s, "reports": ["daily", "weekly"]}', who(r)))
end

-- What the app saw of a request. Credentials are said to be there, never shown; the proxy's own headers are left out.
function echo(r)
  local sent = body(r)
  local names, seen = {}, {}
  for name, value in pairs(r:headers_in_table()) do
    local lower = name:lower()
    if lower ~= "authorization" and lower ~= "cookie" and lower ~= "connection" and lower:sub(1, 6) ~= "x-lab-" then
      names[#names + 1] = lower
      seen[lower] = value
    end
  end
  table.sort(names)
  local headers = {}
  for _, name in ipairs(names) do headers[#headers + 1] = quote(name) .. ": " .. quote(seen[name]) end
  local scheme = (r.headers_in["Authorization"] or ""):match("^(%S+)")
  return answer(r, 200, string.format(
    '{"user": %s, "method": %s, "path": %s, "query": %s, "request_line": %s, "authorization": %s, '
    .. '"headers": {%s}, "body_bytes": %d, "connection": %s}',
    user(r), quote(r.method), quote(r.uri), quote(r.args or ""), quote(r.the_request),
    scheme and quote(scheme) or "null", table.concat(headers, ", "), #sent,
    quote(r.headers_in["X-Lab-Connection"] or "")))
end
"""


def folder(lab: Lab) -> Path:
    """All of the upstream's files."""
    return lab.state / "upstream"


def access_log(lab: Lab) -> Path:
    """One log for all three addresses: the field s-port tells them apart."""
    return folder(lab) / "u_ex.log"


def start(lab: Lab, authority: Authority, keytab: Path) -> Process:
    """Writes the configuration and starts Apache; returns when it listens."""
    home = folder(lab)
    for part in ("htdocs", "run", "replay"):
        (home / part).mkdir(mode=0o755, parents=True, exist_ok=True)
    own_keytab = home / "iis.keytab"
    shutil.copyfile(keytab, own_keytab)
    own_keytab.chmod(0o600)
    identity = pwd.getpwnam(USER)
    for owned in (own_keytab, home / "replay"):
        shutil.chown(owned, identity.pw_uid, identity.pw_gid)
    (home / "htdocs" / "index.html").write_text("ok\n")
    (home / "app.lua").write_text(APP_LUA)
    (home / "log.lua").write_text(LOG_LUA)
    (home / "httpd.conf").write_text(_configuration(lab, authority.issue("iis", [HOST]), own_keytab))
    _begin_log(access_log(lab))
    # Times in the log are UTC, as IIS writes them. The replay cache is a file, so that a token is refused the second
    # time whichever of Apache's processes gets it.
    environment = {"TZ": "UTC", "KRB5RCACHENAME": f"file2:{home}/replay/rcache"}
    process = lab.start("apache", ["apache2", "-f", str(home / "httpd.conf"), "-DFOREGROUND"], env=environment)
    for port in (PER_REQUEST, PER_CONNECTION, ANONYMOUS):
        lab.wait_for_port(process, port)
    return process


def _configuration(lab: Lab, leaf: Leaf, keytab: Path) -> str:
    home = folder(lab)
    names = "mpm_event authn_core authz_core authz_user mime dir ssl socache_shmcb log_config unixd env setenvif headers proxy proxy_http lua auth_gssapi"
    modules = [
        f"LoadModule {name}_module {MODULES}/mod_{name}.so"
        for name in names.split()
        if (MODULES / f"mod_{name}.so").exists()
    ]  # some are built in
    parts = [SERVER.format(folder=home, host=HOST, user=USER, modules="\n".join(modules), log_format=LOG_FORMAT)]
    parts.append(INNER_VHOST.format(address=ADDRESS, port=INNER, host=HOST, folder=home))
    for port, sign_in in (
        (PER_REQUEST, NEGOTIATE.format(keytab=keytab, bound="Off")),
        (PER_CONNECTION, NEGOTIATE.format(keytab=keytab, bound="On")),
        (ANONYMOUS, OPEN),
    ):
        parts.append(
            VHOST.format(
                address=ADDRESS,
                port=port,
                inner=INNER,
                host=HOST,
                folder=home,
                certificate=leaf.certificate,
                key=leaf.key,
                log=access_log(lab),
                sign_in=sign_in,
            )
        )
    return "".join(parts)


def _begin_log(log: Path) -> None:
    """The directives with which IIS begins a log, and begins again at every restart."""
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    software = "Microsoft Internet Information Services 10.0 (as written by the lab)"
    with log.open("a") as file:
        file.write(f"#Software: {software}\n#Version: 1.0\n#Date: {now}\n#Fields: {FIELDS}\n")

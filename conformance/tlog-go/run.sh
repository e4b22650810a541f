#!/bin/sh
# Checks a log with Go's own sumdb packages: run.sh FOLDER VERIFIER-KEY
# Needs Debian's golang-go and golang-golang-x-mod-dev; nothing is downloaded. Exit 3: they are not installed.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: $0 FOLDER VERIFIER-KEY" >&2
    exit 2
fi
packages=/usr/share/gocode
if ! command -v go >/dev/null || [ ! -d "$packages/src/golang.org/x/mod/sumdb/tlog" ]; then
    echo "tlog-go: needs the Debian packages golang-go and golang-golang-x-mod-dev" >&2
    exit 3
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ -z "${GOCACHE:-}${HOME:-}" ]; then
    GOCACHE=$(mktemp -d)
    export GOCACHE
    trap 'rm -rf "$GOCACHE"' EXIT
fi
GO111MODULE=off GOPATH=$packages GOFLAGS= go run "$here/main.go" "$1" "$2"

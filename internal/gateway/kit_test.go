package gateway

import (
	"net/http"
	"net/url"
	"strconv"
)

func itoa(n int) string { return strconv.Itoa(n) }

func proxyAt(host string, port int) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: "http", Host: host + ":" + itoa(port)})
}

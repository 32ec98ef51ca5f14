package policy

import "testing"

func TestSpelled(t *testing.T) {
	for entry, want := range map[string]string{
		"api.example.com": "api.example.com", "API.example.com:8443": "API.example.com:8443", "": "",
		"\u0430pi.example.com": "xn--pi-6kc.example.com", "*.b\u00fccher.example": "*.xn--bcher-kva.example",
		"b\u00fccher.example:8443": "xn--bcher-kva.example:8443", "b\u00fccher.example:x": "b\u00fccher.example:x",
		"\u202eb": "\u202eb",
	} {
		if got := Spelled(entry); got != want {
			t.Errorf("Spelled(%q) is %q, want %q", entry, got, want)
		}
	}
}

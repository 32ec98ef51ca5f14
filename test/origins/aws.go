package origins

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
)

// verifySigV4 signs a request anew with botocore and prints the signature.
const verifySigV4 = `
import base64, json, sys
sys.path.append("/usr/lib/python3/dist-packages/awscli") # where Debian has it
from botocore.auth import SigV4Auth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
q = json.load(sys.stdin)
auth = (S3SigV4Auth if q["service"] == "s3" else SigV4Auth)(Credentials(q["key"], q["secret"], q["token"]), q["service"], q["region"])
request = AWSRequest(method=q["method"], url=q["url"], data=base64.b64decode(q["body"]), headers=q["headers"])
request.context["timestamp"] = q["date"]
canonical = auth.canonical_request(request)
print(auth.signature(auth.string_to_sign(request, canonical), request))
`

// AWSKey is an access key of AWS, with its session token.
type AWSKey struct{ ID, Secret, Token string }

// Signed says why a request is not signed with the key, as AWS's own library
// sees it.
func (k AWSKey) Signed(r *http.Request, body []byte) error {
	rest, found := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+k.ID+"/")
	scope, signature, signed := strings.Cut(rest, ", SignedHeaders=")
	names, signature, _ := strings.Cut(signature, ", Signature=")
	parts := strings.Split(scope, "/")
	if !found || !signed || len(parts) != 4 {
		return errors.New("not signed with the real key's ID")
	}
	if r.Header.Get("X-Amz-Security-Token") != k.Token {
		return errors.New("not the real session token")
	}
	headers := map[string]string{}
	for name := range strings.SplitSeq(names, ";") {
		if headers[name] = r.Header.Get(name); name == "host" {
			headers[name] = r.Host
		}
	}
	input, err := json.Marshal(map[string]any{
		"method": r.Method, "url": "https://" + r.Host + r.RequestURI, "headers": headers, "date": r.Header.Get("X-Amz-Date"),
		"key": k.ID, "secret": k.Secret, "token": k.Token, "region": parts[1], "service": parts[2],
		"body": base64.StdEncoding.EncodeToString(body),
	})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(r.Context(), "python3", "-c", verifySigV4)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("botocore: %w\n%s", err, out)
	}
	if strings.TrimSpace(string(out)) != signature {
		return fmt.Errorf("botocore signs this with %s, and it came with %s", out, signature)
	}
	return nil
}

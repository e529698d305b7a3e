package redact

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func secrets(values ...string) *Secrets {
	s := &Secrets{}
	s.Add(values...)
	return s
}

// Harbor test list #52
func TestSecretsAreTakenOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secrets  []string
		in, want string
	}{
		"in the middle":                     {[]string{"sk-12345"}, "key sk-12345 used", "key [REDACTED] used"},
		"at both ends":                      {[]string{"sk-12345"}, "sk-12345 and sk-12345", "[REDACTED] and [REDACTED]"},
		"two side by side":                  {[]string{"sk-12345"}, "sk-12345sk-12345", "[REDACTED][REDACTED]"},
		"the longer of two":                 {[]string{"sk-12345", "sk-12345-long"}, "sk-12345-long sk-12345", "[REDACTED] [REDACTED]"},
		"one that begins again":             {[]string{"aabaac"}, "aabaabaac", "aab[REDACTED]"},
		"each line of a key":                {[]string{"BEGIN-KEY\nabcdefgh\n"}, "x abcdefgh y", "x [REDACTED] y"},
		"a part of one stays":               {[]string{"sk-12345"}, "sk-1234", "sk-1234"},
		"a short value is not taken for it": {[]string{"1", "true", ""}, "1 true", "1 true"},
		"no secrets":                        {nil, "anything", "anything"},
		"no text":                           {[]string{"sk-12345"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := secrets(c.secrets...)
			if got := s.String(c.in); got != c.want {
				t.Errorf("%q became %q, want %q", c.in, got, c.want)
			}
			got, err := io.ReadAll(s.Reader(iotest.OneByteReader(strings.NewReader(c.in))))
			if err != nil || string(got) != c.want {
				t.Errorf("byte by byte it became %q, %v", got, err)
			}
		})
	}
}

func TestASecretAcrossAChunksEndIsTakenOut(t *testing.T) {
	t.Parallel()
	const secret = "sk-0123456789abcdef"
	s := secrets(secret)
	for offset := chunk - len(secret) - 1; offset <= chunk+1; offset++ {
		in := strings.Repeat("x", offset) + secret + "y"
		if got := s.String(in); got != strings.Repeat("x", offset)+Mark+"y" {
			t.Fatalf("a secret at %d is still there", offset)
		}
	}
}

func TestAReadErrorComesAfterWhatWasRead(t *testing.T) {
	t.Parallel()
	got, err := io.ReadAll(secrets("sk-12345").Reader(io.MultiReader(strings.NewReader("a sk-12345"), iotest.ErrReader(io.ErrUnexpectedEOF))))
	if err != io.ErrUnexpectedEOF || string(got) != "a "+Mark {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMaskKeepsLengthAndHoldsBackWhatMayBecomeASecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, want string
		shown    int
	}{
		"a secret":            {"a sk-123456789 b", "a [REDACTED]** b", 16},
		"a short one":         {"pass-1 b", "[REDAC b", 8},
		"the first part":      {"abc sk-1234", "abc sk-1234", 4},
		"one letter":          {"abc s", "abc s", 4},
		"nothing":             {"abc", "abc", 3},
		"a secret at the end": {"a sk-123456789", "a [REDACTED]**", 14},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := []byte(c.in)
			if n := secrets("sk-123456789", "pass-1").Mask(data); n != c.shown || string(data) != c.want {
				t.Errorf("%q became %q, %d shown; want %q, %d", c.in, data, n, c.want, c.shown)
			}
		})
	}
}

func TestRandomTextIsRedactedAsByReplaceAll(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	const secret = "abcabd"
	s := secrets(secret)
	for range 200 {
		var in bytes.Buffer
		for range random.IntN(400) {
			in.WriteString([]string{"a", "b", "c", "abc", "d", secret}[random.IntN(6)])
		}
		want := strings.ReplaceAll(in.String(), secret, Mark)
		got, err := io.ReadAll(s.Reader(iotest.HalfReader(bytes.NewReader(in.Bytes()))))
		if err != nil || string(got) != want {
			t.Fatalf("%q became %q, want %q", in.String(), got, want)
		}
	}
}

// FuzzNoSecretGetsThrough: whatever the secrets, the text and the pieces in which it comes, none of the secrets is in what comes out, and the pieces make
// no difference.
func FuzzNoSecretGetsThrough(f *testing.F) {
	f.Add("sk-12345", "sk-12345-long", "a sk-12345-long b sk-1sk-12345", 1)
	f.Add("aabaac", "abaaca", "aabaabaacaabaaca", 3)
	f.Add("line-one\nline-two", "", "line-one line-two", 7)
	f.Fuzz(func(t *testing.T, a, b, text string, piece int) {
		if len(a)+len(b) > 1<<10 || len(text) > 1<<14 {
			return
		}
		s := secrets(a, b)
		whole := s.String(text)
		for _, secret := range s.list() {
			if without := strings.ReplaceAll(whole, "[REDACTED]", "\x00"); strings.Contains(without, string(secret)) {
				t.Errorf("%q is in %q", secret, whole)
			}
		}
		r := &pieces{text: text, size: max(piece%17, 1)}
		if got, err := io.ReadAll(s.Reader(r)); err != nil || string(got) != whole {
			t.Errorf("in pieces of %d it became %q, %v, want %q", r.size, got, err, whole)
		}
		masked := []byte(text)
		s.Mask(masked)
		if len(masked) != len(text) {
			t.Errorf("masking made %d bytes of %d", len(masked), len(text))
		}
	})
}

// pieces reads a text so many bytes at a time.
type pieces struct {
	text string
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(p.size, len(b))], p.text)
	p.text = p.text[n:]
	return n, nil
}

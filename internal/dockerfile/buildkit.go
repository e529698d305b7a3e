package dockerfile

import "regexp"

// extension matches what only BuildKit's builder understands of a Dockerfile: flags of instructions, here-documents, a frontend that is named.
var extension = regexp.MustCompile(`(?mi)^[ \t]*(?:(?:RUN|COPY|ADD)[ \t]+(?:--[a-z]+(?:=\S+)?[ \t]+)*--(?:mount|network|security|chmod|link|parents|exclude|checksum|keep-git-dir|unpack)\b|(?:RUN|COPY|ADD)\b.*<<-?["']?[A-Za-z_]|#[ \t]*syntax[ \t]*=)`)

// NeedsBuildKit reports whether a Dockerfile has what docker's classic builder does not understand.
func NeedsBuildKit(text []byte) bool { return extension.Match(text) }

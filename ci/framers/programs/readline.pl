# Perl's `<STDIN>` and `chomp`.
use strict;
use warnings;

binmode STDIN;
$| = 1;
while (defined(my $line = <STDIN>)) {
    chomp $line;
    print '{"line": "', unpack('H*', $line), "\"}\n";
}
print "{\"end\": \"\"}\n";

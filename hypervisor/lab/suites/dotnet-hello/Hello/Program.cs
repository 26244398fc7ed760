using System.Diagnostics;

// Says where its start-up time went: the runtime before Main, and a first piece of everyday code after it.
using Process self = Process.GetCurrentProcess();
double beforeMain = (DateTime.Now - self.StartTime).TotalSeconds;
long start = Stopwatch.GetTimestamp();
Dictionary<string, int> words = [];
foreach (string word in "the quick brown fox jumps over the lazy dog".Split(' '))
{
    words[word] = words.GetValueOrDefault(word) + 1;
}

string repeated = words.Single(pair => pair.Value == 2).Key;
await Task.Run(() => Thread.Yield());
Console.WriteLine($"hello repeated={repeated} before-main={beforeMain:F2}s main={Stopwatch.GetElapsedTime(start).TotalSeconds:F2}s");
return repeated == "the" ? 0 : 1;

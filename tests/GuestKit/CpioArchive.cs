using System.Globalization;
using System.Text;

namespace GuestKit;

/// <summary>
/// A cpio archive in the "newc" form, the one that the Linux kernel unpacks. An initramfs may be several of them one
/// after another, so a few files can be added to a large ready-made one.
/// </summary>
public sealed class CpioArchive
{
    private const int RegularFile = 0x81ED; // S_IFREG | 0755

    private readonly MemoryStream _stream = new();
    private int _inode;

    public void Add(string name, ReadOnlySpan<byte> content) => Append(name, RegularFile, content);

    public byte[] ToArray()
    {
        Append("TRAILER!!!", 0, []);
        return _stream.ToArray();
    }

    private void Append(string name, int mode, ReadOnlySpan<byte> content)
    {
        _inode++;
        int[] fields = [_inode, mode, 0, 0, 1, 0, content.Length, 0, 0, 0, 0, name.Length + 1, 0];
        string header = "070701" + string.Concat(fields.Select(field => field.ToString("X8", CultureInfo.InvariantCulture)));
        _stream.Write(Encoding.ASCII.GetBytes(header + name + "\0"));
        Pad();
        _stream.Write(content);
        Pad();
    }

    private void Pad() => _stream.Write(new byte[(4 - (_stream.Length & 3)) & 3]);
}
